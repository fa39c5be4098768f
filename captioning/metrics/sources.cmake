target_sources(fovea_text PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/bleu.cpp
  ${CMAKE_CURRENT_LIST_DIR}/caption_errors.cpp
  ${CMAKE_CURRENT_LIST_DIR}/caption_words.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cider.cpp
  ${CMAKE_CURRENT_LIST_DIR}/meteor.cpp
  ${CMAKE_CURRENT_LIST_DIR}/porter.cpp
  ${CMAKE_CURRENT_LIST_DIR}/rouge.cpp)
