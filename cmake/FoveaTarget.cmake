# fovea_add_library(NAME [TORCH]) makes the static (or, with BUILD_SHARED_LIBS, shared) library fovea_NAME with
# the alias fovea::NAME. TORCH links LibTorch and reuses the one precompiled header of fovea_modules.
# Rooms add their files with target_sources.
function(fovea_add_library name)
  cmake_parse_arguments(arg "TORCH" "" "" ${ARGN})
  set(target fovea_${name})
  add_library(${target})
  add_library(fovea::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  fovea_compile_options(${target})
  if(arg_TORCH)
    target_link_libraries(${target} PUBLIC fovea::libtorch)
    if(NOT name STREQUAL modules)
      fovea_reuse_precompiled_header(${target})
    endif()
  endif()
  set_property(GLOBAL APPEND PROPERTY FOVEA_LIBRARIES ${target})
endfunction()

# g++ takes the header only where -fPIC, -pthread and spdlog's macros are as in the target that compiled it.
function(fovea_reuse_precompiled_header target)
  target_precompile_headers(${target} REUSE_FROM fovea_modules)
  target_compile_options(${target} PRIVATE -fPIC)
  target_link_libraries(${target} PRIVATE spdlog::spdlog)
endfunction()

# Warnings and sanitizers of our own code; never passed on to consumers.
function(fovea_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow=local -Wnon-virtual-dtor
    -Wno-missing-field-initializers $<$<BOOL:${FOVEA_WERROR}>:-Werror>)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${FOVEA_UNITY} UNITY_BUILD_BATCH_SIZE 16)
  if(FOVEA_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${FOVEA_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${FOVEA_SANITIZE})
  endif()
endfunction()

# For code that computes nothing itself, commands and tests: a quarter less to wait for.
function(fovea_compile_quickly target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

# fovea_embed(TARGET NAME FILE) makes the file a string of the target: `extern const char* const NAME` in namespace fovea.
function(fovea_embed target name file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  file(READ "${file}" content)
  set(source "${PROJECT_BINARY_DIR}/generated/${name}.cpp")
  file(CONFIGURE OUTPUT "${source}" CONTENT
"namespace fovea {
extern const char* const ${name};
const char* const ${name} = R\"page(${content})page\";
}  // namespace fovea
" @ONLY)
  set_source_files_properties("${source}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  target_sources(${target} PRIVATE "${source}")
endfunction()
