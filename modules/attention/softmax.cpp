#include "fovea/modules/attention/softmax.h"

#include <ATen/ATen.h>

#include <limits>

namespace fovea {

at::Tensor masked_softmax(const at::Tensor& scores, const at::Tensor& allowed) {
  if (!allowed.defined()) return at::softmax(scores, -1);
  // A row without any allowed key would be softmax(−∞, …) = NaN: it is filled with 0 before and again after.
  const auto fill = at::where(allowed.any(-1, /*keepdim=*/true), -std::numeric_limits<double>::infinity(), 0.0);
  const auto filled = at::where(allowed, scores, fill.to(scores.scalar_type()));
  return at::softmax(filled, -1).masked_fill(~allowed, 0);
}

at::Tensor hide_rows(const at::Tensor& t, const at::Tensor& allowed) {
  return allowed.defined() ? at::where(allowed.unsqueeze(-1), t, at::zeros({}, t.options())) : t;
}

}  // namespace fovea
