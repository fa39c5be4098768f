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

# The page of the report becomes a string in the library.
set(_page ${CMAKE_CURRENT_LIST_DIR}/web/report.html)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_page})
file(READ ${_page} _html)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/report_template.cpp CONTENT
"namespace fovea {
extern const char* const report_template;
const char* const report_template = R\"page(${_html})page\";
}  // namespace fovea
" @ONLY)
set_source_files_properties(${PROJECT_BINARY_DIR}/generated/report_template.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/report.cpp
  ${PROJECT_BINARY_DIR}/generated/report_template.cpp)
