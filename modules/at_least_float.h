#pragma once

#include <ATen/ATen.h>

namespace fovea::detail {

// float32 where t is narrower, t itself otherwise.
inline at::Tensor at_least_float(const at::Tensor& t) {
  const bool narrow = t.scalar_type() == at::kHalf || t.scalar_type() == at::kBFloat16;
  return narrow ? t.to(at::kFloat) : t;
}

}  // namespace fovea::detail
