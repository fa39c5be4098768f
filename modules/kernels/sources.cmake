# Raw-pointer kernels: no LibTorch on their include path, usable alone. Highway compiles each file once for every
# instruction set, which a precompiled header would break.
#
# The forward pass of attention is a library of its own: it is all that fovea::pictures needs, which then does not wait
# for the others.
fovea_add_library(attention_kernel)
target_sources(fovea_attention_kernel PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/cpu/arena.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/pairs.cpp)
fovea_add_library(kernels)
target_sources(fovea_kernels PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/cpu/additive.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/additive_backward.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/attention_backward.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/dropout.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/feature_map.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/feature_map_backward.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/finite.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/thin_product.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/window.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu/window_backward.cpp)
target_link_libraries(fovea_kernels PUBLIC fovea::attention_kernel)
foreach(target fovea_attention_kernel fovea_kernels)
  target_link_libraries(${target} PRIVATE PkgConfig::hwy)
  # Tiles live in registers only where their loops are unrolled.
  target_compile_options(${target} PRIVATE -O3)
  set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)  # Highway includes each file several times
endforeach()
