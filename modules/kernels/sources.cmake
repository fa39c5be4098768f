# Raw-pointer kernels: no LibTorch on their include path, usable alone. Highway compiles each file once for every
# instruction set, which a precompiled header would break.
fovea_add_library(kernels)
target_sources(fovea_kernels PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/cpu/additive.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/arena.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/attention_backward.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/feature_map.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/window.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/window_backward.cpp)
target_link_libraries(fovea_kernels PRIVATE PkgConfig::hwy)
# Tiles live in registers only where their loops are unrolled.
target_compile_options(fovea_kernels PRIVATE -O3)
