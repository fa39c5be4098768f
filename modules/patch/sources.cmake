target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/attention_pool.cpp
  ${CMAKE_CURRENT_LIST_DIR}/block.cpp
  ${CMAKE_CURRENT_LIST_DIR}/drop_path.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layer_scale.cpp
  ${CMAKE_CURRENT_LIST_DIR}/mlp.cpp
  ${CMAKE_CURRENT_LIST_DIR}/patch_embed.cpp
  ${CMAKE_CURRENT_LIST_DIR}/position_table.cpp
  ${CMAKE_CURRENT_LIST_DIR}/self_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/swiglu.cpp)
