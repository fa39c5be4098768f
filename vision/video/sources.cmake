target_sources(fovea_pictures PRIVATE ${CMAKE_CURRENT_LIST_DIR}/clip_format.cpp)

# Loading OpenCV's videoio takes longer than most commands' own work: whoever links fovea::video asks for it.
if(FOVEA_WITH_OPENCV)
  fovea_add_library(video)
  target_sources(fovea_video PRIVATE ${CMAKE_CURRENT_LIST_DIR}/clip.cpp)
  target_link_libraries(fovea_video PUBLIC fovea::pictures PRIVATE opencv_core opencv_imgproc opencv_videoio)
endif()
