#include "fovea/modules/position/offsets.h"

#include <ATen/ATen.h>

namespace fovea {

at::Tensor offsets(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) {
  const int64_t N = q.size(-2), M = k.size(-2);
  const int64_t first = args.first.value_or(M - N);
  const auto integers = at::TensorOptions(at::kLong).device(q.device());
  return at::arange(M, integers) - at::arange(first, first + N, integers).unsqueeze(1);
}

}  // namespace fovea
