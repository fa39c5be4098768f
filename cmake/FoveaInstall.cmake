# Headers keep the tree's folders under include/fovea; libraries are exported as fovea::modules and so on.
include(CMakePackageConfigHelpers)
get_property(_libraries GLOBAL PROPERTY FOVEA_LIBRARIES)
install(TARGETS ${_libraries} EXPORT foveaTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(_room modules vision captioning datasets)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${_room}" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fovea
    FILES_MATCHING PATTERN "*.h")
endforeach()
install(EXPORT foveaTargets NAMESPACE fovea:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/foveaConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/foveaConfig.cmake" INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/foveaConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/foveaConfig.cmake" "${PROJECT_BINARY_DIR}/foveaConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/FindLibTorch.cmake" DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)
