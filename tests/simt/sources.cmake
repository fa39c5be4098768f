# Cases that run under the emulator and on a GPU alike.
set(FOVEA_KERNEL_CASES
  ${CMAKE_CURRENT_LIST_DIR}/additive_cases.cpp
  ${CMAKE_CURRENT_LIST_DIR}/attention_cases.cpp
  ${CMAKE_CURRENT_LIST_DIR}/decode_cases.cpp
  ${CMAKE_CURRENT_LIST_DIR}/excite_cases.cpp
  ${CMAKE_CURRENT_LIST_DIR}/gates_cases.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_cases.cpp)

# The same with LibTorch's tensors.
set(FOVEA_GLUE_CASES
  ${CMAKE_CURRENT_LIST_DIR}/glue_attention_cases.cpp
  ${CMAKE_CURRENT_LIST_DIR}/glue_gates_cases.cpp
  ${CMAKE_CURRENT_LIST_DIR}/glue_window_cases.cpp)
