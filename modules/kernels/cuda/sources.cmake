# Files that instantiate CUDA kernels: nvcc compiles them into fovea_cuda, tests/simt compiles the same files for the
# host. Few, so that two cores build them in minutes.
set(FOVEA_CUDA_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/additive.cu
  ${CMAKE_CURRENT_LIST_DIR}/attention_backward.cu
  ${CMAKE_CURRENT_LIST_DIR}/attention_forward.cu
  ${CMAKE_CURRENT_LIST_DIR}/decode.cu
  ${CMAKE_CURRENT_LIST_DIR}/gates.cu
  ${CMAKE_CURRENT_LIST_DIR}/window_backward.cu
  ${CMAKE_CURRENT_LIST_DIR}/window_forward.cu)
