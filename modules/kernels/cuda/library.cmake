# libfovea_cuda: the kernels and one C function that hands them out (table.h), nothing of LibTorch. A program that wants
# them loads the library; nothing links it.
include("${CMAKE_CURRENT_LIST_DIR}/sources.cmake")
add_library(fovea_cuda SHARED ${FOVEA_CUDA_SOURCES} "${CMAKE_CURRENT_LIST_DIR}/table.cu")
add_library(fovea::cuda ALIAS fovea_cuda)
target_compile_features(fovea_cuda PRIVATE cxx_std_20)
target_include_directories(fovea_cuda PRIVATE "${PROJECT_BINARY_DIR}/include")
target_compile_options(fovea_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20 --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${FOVEA_WERROR}>>:-Werror=all-warnings>)
if(CMAKE_RUNTIME_OUTPUT_DIRECTORY)  # beside the programs, where they look for it first
  set_target_properties(fovea_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
endif()
set_target_properties(fovea_cuda PROPERTIES CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden)
install(TARGETS fovea_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} OPTIONAL)
