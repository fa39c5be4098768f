# What draws plain numbers knows no LibTorch.
if(FOVEA_WITH_OPENCV)
  target_sources(fovea_pictures PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/blend.cpp
    ${CMAKE_CURRENT_LIST_DIR}/canvas.cpp
    ${CMAKE_CURRENT_LIST_DIR}/encode.cpp
    ${CMAKE_CURRENT_LIST_DIR}/heat.cpp
    ${CMAKE_CURRENT_LIST_DIR}/layout.cpp
    ${CMAKE_CURRENT_LIST_DIR}/matrix.cpp
    ${CMAKE_CURRENT_LIST_DIR}/sheet.cpp
    ${CMAKE_CURRENT_LIST_DIR}/surface.cpp
    ${CMAKE_CURRENT_LIST_DIR}/text.cpp)
  target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/bars.cpp)
else()
  target_sources(fovea_pictures PRIVATE ${CMAKE_CURRENT_LIST_DIR}/no_draw.cpp)
  target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/no_bars.cpp)
endif()
target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/overlay.cpp
  ${CMAKE_CURRENT_LIST_DIR}/token_map.cpp ${CMAKE_CURRENT_LIST_DIR}/word_sheet.cpp)

# The page of the report, and the view of pictures that `fovea serve` has too, become strings in the library.
target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/report.cpp)
foreach(_file report.html viewer.css viewer.js)
  string(REPLACE "." "_" _name ${_file})
  fovea_embed(fovea_vision ${_name} ${CMAKE_CURRENT_LIST_DIR}/web/${_file})
endforeach()
