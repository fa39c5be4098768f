target_sources(fovea_pictures PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/lens.cpp
  ${CMAKE_CURRENT_LIST_DIR}/patches.cpp
  ${CMAKE_CURRENT_LIST_DIR}/workers.cpp)
