# Byte parsers and files, free of torch.
target_sources(fovea_formats PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/format_name.cpp
  ${CMAKE_CURRENT_LIST_DIR}/json_text.cpp
  ${CMAKE_CURRENT_LIST_DIR}/mapped_file.cpp
  ${CMAKE_CURRENT_LIST_DIR}/output_file.cpp
  ${CMAKE_CURRENT_LIST_DIR}/pickle.cpp
  ${CMAKE_CURRENT_LIST_DIR}/safetensors.cpp
  ${CMAKE_CURRENT_LIST_DIR}/safetensors_header.cpp
  ${CMAKE_CURRENT_LIST_DIR}/shard_index.cpp
  ${CMAKE_CURRENT_LIST_DIR}/torch_file.cpp
  ${CMAKE_CURRENT_LIST_DIR}/torch_state.cpp
  ${CMAKE_CURRENT_LIST_DIR}/torch_values.cpp
  ${CMAKE_CURRENT_LIST_DIR}/weight_folder.cpp
  ${CMAKE_CURRENT_LIST_DIR}/zip_archive.cpp)

target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/adapt.cpp
  ${CMAKE_CURRENT_LIST_DIR}/added_part.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_captioners.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_cbam.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_change.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_huggingface.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_huggingface_clip.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_huggingface_dinov2.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_huggingface_swin.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_timm.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_torchvision.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout_torchvision_cnn.cpp
  ${CMAKE_CURRENT_LIST_DIR}/load_weights.cpp
  ${CMAKE_CURRENT_LIST_DIR}/state_dict.cpp)
