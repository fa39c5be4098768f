target_sources(fovea_captioning PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/caption_batches.cpp
  ${CMAKE_CURRENT_LIST_DIR}/caption_losses.cpp
  ${CMAKE_CURRENT_LIST_DIR}/train_captioner.cpp
  ${CMAKE_CURRENT_LIST_DIR}/vocabulary.cpp)
