target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/bam.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cbam.cpp
  ${CMAKE_CURRENT_LIST_DIR}/coordinate.cpp
  ${CMAKE_CURRENT_LIST_DIR}/eca.cpp
  ${CMAKE_CURRENT_LIST_DIR}/effective_se.cpp
  ${CMAKE_CURRENT_LIST_DIR}/factory.cpp
  ${CMAKE_CURRENT_LIST_DIR}/gate.cpp
  ${CMAKE_CURRENT_LIST_DIR}/gate_cpu.cpp
  ${CMAKE_CURRENT_LIST_DIR}/gather_excite.cpp
  ${CMAKE_CURRENT_LIST_DIR}/global_context.cpp
  ${CMAKE_CURRENT_LIST_DIR}/selective_kernel.cpp
  ${CMAKE_CURRENT_LIST_DIR}/simam.cpp
  ${CMAKE_CURRENT_LIST_DIR}/split_attention.cpp
  ${CMAKE_CURRENT_LIST_DIR}/simple_coordinate.cpp
  ${CMAKE_CURRENT_LIST_DIR}/squeeze_excite.cpp
  ${CMAKE_CURRENT_LIST_DIR}/strip.cpp
  ${CMAKE_CURRENT_LIST_DIR}/triplet.cpp)
