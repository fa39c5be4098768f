if(FOVEA_WITH_OPENCV)
  target_sources(fovea_vision PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/bars.cpp
    ${CMAKE_CURRENT_LIST_DIR}/blend.cpp
    ${CMAKE_CURRENT_LIST_DIR}/canvas.cpp
    ${CMAKE_CURRENT_LIST_DIR}/encode_png.cpp
    ${CMAKE_CURRENT_LIST_DIR}/layout.cpp
    ${CMAKE_CURRENT_LIST_DIR}/overlay.cpp
    ${CMAKE_CURRENT_LIST_DIR}/text.cpp)
else()
  target_sources(fovea_vision PRIVATE ${CMAKE_CURRENT_LIST_DIR}/no_draw.cpp)
endif()
