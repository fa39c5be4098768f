target_sources(fovea_formats PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/gzip.cpp
  ${CMAKE_CURRENT_LIST_DIR}/idx.cpp)
target_sources(fovea_datasets PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/captions.cpp
  ${CMAKE_CURRENT_LIST_DIR}/embedded.cpp
  ${CMAKE_CURRENT_LIST_DIR}/idx_dataset.cpp
  ${CMAKE_CURRENT_LIST_DIR}/image_folder.cpp
  ${CMAKE_CURRENT_LIST_DIR}/labelled_data.cpp
  ${CMAKE_CURRENT_LIST_DIR}/labels.cpp
  ${CMAKE_CURRENT_LIST_DIR}/pathfinder/pathfinder.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scenes/captions.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scenes/compose.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scenes/cutout.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scenes/data.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scenes/nouns.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scenes/plan.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scenes/reading.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scenes/score.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scenes/world.cpp)
