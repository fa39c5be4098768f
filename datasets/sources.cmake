target_sources(fovea_formats PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/gzip.cpp
  ${CMAKE_CURRENT_LIST_DIR}/idx.cpp)
target_sources(fovea_datasets PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/embedded.cpp
  ${CMAKE_CURRENT_LIST_DIR}/idx_dataset.cpp
  ${CMAKE_CURRENT_LIST_DIR}/image_folder.cpp
  ${CMAKE_CURRENT_LIST_DIR}/labelled_data.cpp
  ${CMAKE_CURRENT_LIST_DIR}/labels.cpp)
