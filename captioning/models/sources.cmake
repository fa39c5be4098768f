target_sources(fovea_captioning PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/caption.cpp
  ${CMAKE_CURRENT_LIST_DIR}/caption_config.cpp
  ${CMAKE_CURRENT_LIST_DIR}/decoder_block.cpp
  ${CMAKE_CURRENT_LIST_DIR}/generation_config.cpp
  ${CMAKE_CURRENT_LIST_DIR}/load_captioner.cpp
  ${CMAKE_CURRENT_LIST_DIR}/place_table.cpp
  ${CMAKE_CURRENT_LIST_DIR}/show_attend_tell.cpp
  ${CMAKE_CURRENT_LIST_DIR}/text_decoder.cpp
  ${CMAKE_CURRENT_LIST_DIR}/tutorial_config.cpp
  ${CMAKE_CURRENT_LIST_DIR}/trained_captioner.cpp
  ${CMAKE_CURRENT_LIST_DIR}/transformer_captioner.cpp)
