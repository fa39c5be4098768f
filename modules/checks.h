// Checks of options that many layers have. Each throws Error(usage) naming the layer.
#pragma once

#include <cstdint>

#include "fovea/modules/error.h"

namespace fovea {

// 0 ≤ value < 1.
inline void require_probability(const char* layer, const char* option, double value) {
  require(value >= 0 && value < 1, ErrorKind::usage, "{}: {} {} is not in 0 ≤ p < 1", layer, option, value);
}

// dim divides into heads of at least one column.
inline void require_heads(const char* layer, int64_t dim, int64_t heads) {
  require(dim > 0 && heads > 0, ErrorKind::usage, "{}: dim {} and heads {} must be positive", layer, dim, heads);
  require(dim % heads == 0, ErrorKind::usage, "{}: dim {} is not divisible by heads {}", layer, dim, heads);
}

}  // namespace fovea
