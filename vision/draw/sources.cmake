# What draws plain numbers knows no LibTorch.
target_sources(fovea_pictures PRIVATE ${CMAKE_CURRENT_LIST_DIR}/page.cpp ${CMAKE_CURRENT_LIST_DIR}/running_range.cpp)
if(FOVEA_WITH_OPENCV)
  target_sources(fovea_pictures PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/blend.cpp
    ${CMAKE_CURRENT_LIST_DIR}/canvas.cpp
    ${CMAKE_CURRENT_LIST_DIR}/curves.cpp
    ${CMAKE_CURRENT_LIST_DIR}/encode.cpp
    ${CMAKE_CURRENT_LIST_DIR}/heat.cpp
    ${CMAKE_CURRENT_LIST_DIR}/layout.cpp
    ${CMAKE_CURRENT_LIST_DIR}/matrix.cpp
    ${CMAKE_CURRENT_LIST_DIR}/sheet.cpp
    ${CMAKE_CURRENT_LIST_DIR}/surface.cpp
    ${CMAKE_CURRENT_LIST_DIR}/text.cpp
    ${CMAKE_CURRENT_LIST_DIR}/tiles.cpp)
  target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/bars.cpp)
else()
  target_sources(fovea_pictures PRIVATE ${CMAKE_CURRENT_LIST_DIR}/no_draw.cpp)
  target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/no_bars.cpp)
endif()
target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/overlay.cpp
  ${CMAKE_CURRENT_LIST_DIR}/token_map.cpp ${CMAKE_CURRENT_LIST_DIR}/word_sheet.cpp)

# The page of the report, the view of pictures that `fovea serve` has too, and the style of all pages become strings.
target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/report.cpp)
fovea_embed(fovea_pictures viewer_css ${CMAKE_CURRENT_LIST_DIR}/web/viewer.css)
fovea_embed(fovea_vision viewer_js ${CMAKE_CURRENT_LIST_DIR}/web/viewer.js)
fovea_embed(fovea_vision report_html ${CMAKE_CURRENT_LIST_DIR}/web/report.html)
