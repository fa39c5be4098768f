target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/attention_free.cpp
  ${CMAKE_CURRENT_LIST_DIR}/causal_conv.cpp
  ${CMAKE_CURRENT_LIST_DIR}/fourier_mixing.cpp
  ${CMAKE_CURRENT_LIST_DIR}/mamba.cpp
  ${CMAKE_CURRENT_LIST_DIR}/mixing_matrix.cpp
  ${CMAKE_CURRENT_LIST_DIR}/mixture_of_experts.cpp
  ${CMAKE_CURRENT_LIST_DIR}/s4.cpp
  ${CMAKE_CURRENT_LIST_DIR}/scan.cpp
  ${CMAKE_CURRENT_LIST_DIR}/temporal_conv.cpp)
