target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/linear_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/linformer.cpp
  ${CMAKE_CURRENT_LIST_DIR}/pattern.cpp
  ${CMAKE_CURRENT_LIST_DIR}/perceiver.cpp
  ${CMAKE_CURRENT_LIST_DIR}/sparse_attention.cpp)
