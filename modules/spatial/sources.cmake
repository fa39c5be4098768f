target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/bilinear_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/bottleneck_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/external_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/halo_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/lambda_layer.cpp
  ${CMAKE_CURRENT_LIST_DIR}/non_local.cpp
  ${CMAKE_CURRENT_LIST_DIR}/relative_scores.cpp)
