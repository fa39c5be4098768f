# The CUDA kernels are compiled wherever there is a toolkit; a GPU is not needed for that.
find_package(CUDAToolkit QUIET)
option(FOVEA_WITH_CUDA "Compile the CUDA kernels into libfovea_cuda" ${CUDAToolkit_FOUND})
if(FOVEA_WITH_CUDA)
  if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    set(CMAKE_CUDA_COMPILER "${CUDAToolkit_NVCC_EXECUTABLE}")
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)  # newer chips take the PTX of the last
  endif()
  enable_language(CUDA)
endif()
