target_sources(fovea_vision PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/attention_heat.cpp
  ${CMAKE_CURRENT_LIST_DIR}/class_activation.cpp
  ${CMAKE_CURRENT_LIST_DIR}/evidence.cpp
  ${CMAKE_CURRENT_LIST_DIR}/faithfulness.cpp
  ${CMAKE_CURRENT_LIST_DIR}/flow.cpp
  ${CMAKE_CURRENT_LIST_DIR}/gates.cpp
  ${CMAKE_CURRENT_LIST_DIR}/head_profile.cpp
  ${CMAKE_CURRENT_LIST_DIR}/heat_map.cpp
  ${CMAKE_CURRENT_LIST_DIR}/methods.cpp
  ${CMAKE_CURRENT_LIST_DIR}/occlusion.cpp
  ${CMAKE_CURRENT_LIST_DIR}/relevance.cpp
  ${CMAKE_CURRENT_LIST_DIR}/rollout.cpp
  ${CMAKE_CURRENT_LIST_DIR}/stitch_windows.cpp)
