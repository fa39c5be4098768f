#include "fovea/modules/window/relative_bias.h"

#include <ATen/ATen.h>

namespace fovea {

at::Tensor relative_position_index(int64_t window_height, int64_t window_width) {
  const auto places = at::arange(window_height * window_width, at::kLong);
  const auto y = places.div(window_width, "floor");
  const auto x = places.remainder(window_width);
  const auto offset = [](const at::Tensor& t) { return t.unsqueeze(1) - t; };
  return (offset(y) + window_height - 1) * (2 * window_width - 1) + offset(x) + window_width - 1;
}

at::Tensor relative_position_bias(const at::Tensor& table, const at::Tensor& index) {
  return at::embedding(table, index).permute({2, 0, 1}).contiguous();  // [W²,W²,H] → [H,W²,W²]
}

}  // namespace fovea
