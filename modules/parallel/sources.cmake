target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/process_group.cpp
  ${CMAKE_CURRENT_LIST_DIR}/ring_attention.cpp)
# LibTorch brings Gloo compiled in, but not its headers: without the distribution's, no group is made over it here.
find_path(FOVEA_GLOO_INCLUDE_DIR gloo/context.h)
if(FOVEA_GLOO_INCLUDE_DIR)
  target_sources(fovea_modules PRIVATE ${CMAKE_CURRENT_LIST_DIR}/gloo_group.cpp)
  set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/gloo_group.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
else()
  target_sources(fovea_modules PRIVATE ${CMAKE_CURRENT_LIST_DIR}/gloo_group_missing.cpp)
endif()
