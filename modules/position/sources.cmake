target_sources(fovea_modules PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/alibi.cpp
  ${CMAKE_CURRENT_LIST_DIR}/conditional.cpp
  ${CMAKE_CURRENT_LIST_DIR}/content_position.cpp
  ${CMAKE_CURRENT_LIST_DIR}/offsets.cpp
  ${CMAKE_CURRENT_LIST_DIR}/relative.cpp
  ${CMAKE_CURRENT_LIST_DIR}/rotary.cpp
  ${CMAKE_CURRENT_LIST_DIR}/sinusoidal.cpp
  ${CMAKE_CURRENT_LIST_DIR}/transformer_xl.cpp
  ${CMAKE_CURRENT_LIST_DIR}/window_bias.cpp)
