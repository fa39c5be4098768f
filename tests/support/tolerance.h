// The one table of tolerances, and the error that it bounds.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>

namespace fovea::testing {

inline const auto kWide = at::TensorOptions(at::kDouble);  // of the inputs of oracles

// Of a layer of a few operations against an fp64 oracle on the same (rounded) inputs, as relative_error gives it.
inline double tolerance(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return 1e-12;
    case at::kFloat:
      return 1e-5;
    case at::kHalf:
      return 2e-3;
    case at::kBFloat16:
      return 1.6e-2;
    default:
      return 0;
  }
}

// max|a − b| / max|b|, both in fp64; 0 for two empty tensors of one shape, infinite for two shapes and for NaN.
inline double relative_error(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return INFINITY;
  if (a.numel() == 0) return 0;
  const auto wide = b.to(at::kDouble);
  const double difference = (a.to(at::kDouble) - wide).abs().max().item<double>();
  const double error = difference / std::max(wide.abs().max().item<double>(), 1e-30);
  return std::isfinite(error) ? error : INFINITY;
}

}  // namespace fovea::testing
