# Finds LibTorch 2.11 and defines fovea::libtorch, which links libtorch_cpu and libc10 alone: the wheel's own
# package config stops with an error where no CUDA toolkit is installed, and drags in every CUDA library where one
# is. A program linked so can still load libtorch_cuda when it is asked for a GPU.
#
# Where it looks, in this order: a target torch that the consumer already found; Torch_DIR (the folder of
# TorchConfig.cmake); FOVEA_LIBTORCH_ROOT (the folder that holds lib/ and include/); the cache folder that
# cmake/setup.sh fills.
if(TARGET fovea::libtorch)
  set(LibTorch_FOUND TRUE)
  return()
endif()

if(TARGET torch AND TORCH_LIBRARIES)
  add_library(fovea::libtorch INTERFACE IMPORTED GLOBAL)
  target_link_libraries(fovea::libtorch INTERFACE ${TORCH_LIBRARIES})
  target_include_directories(fovea::libtorch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  set(LibTorch_FOUND TRUE)
  return()
endif()

set(_fovea_roots "")
if(Torch_DIR)
  list(APPEND _fovea_roots "${Torch_DIR}/../../..")
endif()
if(DEFINED ENV{Torch_DIR})
  list(APPEND _fovea_roots "$ENV{Torch_DIR}/../../..")
endif()
if(FOVEA_LIBTORCH_ROOT)
  list(APPEND _fovea_roots "${FOVEA_LIBTORCH_ROOT}")
endif()
if(DEFINED ENV{XDG_CACHE_HOME})
  set(_fovea_cache "$ENV{XDG_CACHE_HOME}/fovea")
else()
  set(_fovea_cache "$ENV{HOME}/.cache/fovea")
endif()
list(APPEND _fovea_roots "${_fovea_cache}/libtorch-2.11.0/torch")

find_path(LibTorch_INCLUDE_DIR ATen/ATen.h PATHS ${_fovea_roots} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS ${_fovea_roots} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 PATHS ${_fovea_roots} PATH_SUFFIXES lib NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "LibTorch 2.11 was not found. Run cmake/setup.sh once, or set Torch_DIR to its share/cmake/Torch")

if(LibTorch_FOUND)
  # ATen's parallel_for runs in the calling thread alone unless the including file is built with OpenMP.
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  get_filename_component(_fovea_torch_lib "${LibTorch_CPU_LIBRARY}" DIRECTORY)
  add_library(fovea::libtorch INTERFACE IMPORTED GLOBAL)
  # The wheel's include folder carries copies of other libraries (fmt 12, oneDNN, …): searched last, it cannot hide the
  # distribution's own headers.
  target_compile_options(fovea::libtorch INTERFACE
    "SHELL:-idirafter ${LibTorch_INCLUDE_DIR}"
    "SHELL:-idirafter ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_link_libraries(fovea::libtorch INTERFACE
    "${LibTorch_CPU_LIBRARY}" "${LibTorch_C10_LIBRARY}")
  # As flags: OpenMP::OpenMP_CXX names the compiler's libgomp by its path, and CMake then warns of the wheel's own.
  separate_arguments(_fovea_openmp NATIVE_COMMAND "${OpenMP_CXX_FLAGS}")
  target_compile_options(fovea::libtorch INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${_fovea_openmp}>")
  target_link_options(fovea::libtorch INTERFACE ${_fovea_openmp})
  target_link_options(fovea::libtorch INTERFACE "LINKER:-rpath,${_fovea_torch_lib}")
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY)
