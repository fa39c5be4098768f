target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/cbam.cpp
  ${CMAKE_CURRENT_LIST_DIR}/factory.cpp
  ${CMAKE_CURRENT_LIST_DIR}/gate.cpp
  ${CMAKE_CURRENT_LIST_DIR}/squeeze_excite.cpp)
