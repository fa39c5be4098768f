target_sources(fovea_formats PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/exif.cpp
  ${CMAKE_CURRENT_LIST_DIR}/format_bmp.cpp
  ${CMAKE_CURRENT_LIST_DIR}/format_jpeg.cpp
  ${CMAKE_CURRENT_LIST_DIR}/format_png.cpp
  ${CMAKE_CURRENT_LIST_DIR}/format_tiff.cpp
  ${CMAKE_CURRENT_LIST_DIR}/format_webp.cpp
  ${CMAKE_CURRENT_LIST_DIR}/probe.cpp)

if(FOVEA_WITH_OPENCV)
  set(image_decoder decode_opencv)
else()
  set(image_decoder decode_stb)
endif()
target_sources(fovea_pictures PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/decode.cpp
  ${CMAKE_CURRENT_LIST_DIR}/${image_decoder}.cpp
  ${CMAKE_CURRENT_LIST_DIR}/geometry.cpp
  ${CMAKE_CURRENT_LIST_DIR}/orientation.cpp
  ${CMAKE_CURRENT_LIST_DIR}/resize.cpp
  ${CMAKE_CURRENT_LIST_DIR}/stb.cpp)
# The loops over pixels are written for the vectoriser; fused multiply-adds would round otherwise than Pillow.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/resize.cpp PROPERTIES COMPILE_OPTIONS "-O3;-ffp-contract=off")
target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/preprocess.cpp)
