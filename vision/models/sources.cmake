target_sources(fovea_vision PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/huggingface_config.cpp
  ${CMAKE_CURRENT_LIST_DIR}/model_config.cpp
  ${CMAKE_CURRENT_LIST_DIR}/recognise.cpp
  ${CMAKE_CURRENT_LIST_DIR}/registry.cpp
  ${CMAKE_CURRENT_LIST_DIR}/resnet.cpp
  ${CMAKE_CURRENT_LIST_DIR}/resnet_table.cpp
  ${CMAKE_CURRENT_LIST_DIR}/swin.cpp
  ${CMAKE_CURRENT_LIST_DIR}/swin_table.cpp
  ${CMAKE_CURRENT_LIST_DIR}/vit.cpp
  ${CMAKE_CURRENT_LIST_DIR}/vit_table.cpp)
