target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/cosine_window_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/partition.cpp
  ${CMAKE_CURRENT_LIST_DIR}/partition_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/patch_merging.cpp
  ${CMAKE_CURRENT_LIST_DIR}/relative_bias.cpp
  ${CMAKE_CURRENT_LIST_DIR}/swin_block.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_attention_layer.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_cpu.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_cuda.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_function.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_layout.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_reference.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_sdpa.cpp)
