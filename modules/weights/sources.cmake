# Byte parsers and files, free of torch.
target_sources(fovea_formats PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/format_name.cpp
  ${CMAKE_CURRENT_LIST_DIR}/mapped_file.cpp
  ${CMAKE_CURRENT_LIST_DIR}/output_file.cpp
  ${CMAKE_CURRENT_LIST_DIR}/safetensors.cpp
  ${CMAKE_CURRENT_LIST_DIR}/safetensors_header.cpp)
