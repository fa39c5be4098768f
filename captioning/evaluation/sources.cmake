target_sources(fovea_captioning PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/likelihood.cpp
  ${CMAKE_CURRENT_LIST_DIR}/shuffled_captioner.cpp)
