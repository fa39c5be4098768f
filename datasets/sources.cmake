target_sources(fovea_datasets PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/labels.cpp)
