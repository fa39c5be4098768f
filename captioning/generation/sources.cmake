target_sources(fovea_captioning PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/beam_search.cpp
  ${CMAKE_CURRENT_LIST_DIR}/generate.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scores.cpp)
