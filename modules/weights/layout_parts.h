// Thirds of a joined qkv, for the tables of layouts that keep them apart.
#pragma once

#include "fovea/modules/weights/layout.h"

namespace fovea {

inline constexpr TensorPart kQuery = {.index = 0, .count = 3};
inline constexpr TensorPart kKey = {.index = 1, .count = 3};
inline constexpr TensorPart kValue = {.index = 2, .count = 3};

}  // namespace fovea
