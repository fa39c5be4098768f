target_sources(fovea_vision PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/registry.cpp)
