#include "fovea/modules/window/relative_bias.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// Where the offsets 0, 1, …, W−1 of the old window lie on the side of the new one: 0, 1, 1 + q, 1 + q + q², …, with the
// q of 1.01…1.5 that brings the last nearest to V−1 from below.
std::vector<double> spread_offsets(int64_t old_window, int64_t new_window) {
  double low = 1.01, high = 1.5, q = low;
  while (high - low > 1e-6) {
    q = (low + high) / 2;
    const double reached = (1 - std::pow(q, static_cast<double>(old_window - 1))) / (1 - q);
    (reached > static_cast<double>(new_window - 1) ? high : low) = q;
  }
  std::vector<double> places = {0};
  for (int64_t i = 0; i + 1 < old_window; ++i) places.push_back(places.back() + std::pow(q, static_cast<double>(i)));
  return places;
}

// [2V−1,2W−1]: row j interpolates offset j − (V−1) between the old ones; beyond the last, the last.
at::Tensor interpolation(int64_t old_window, int64_t new_window) {
  const std::vector<double> places = spread_offsets(old_window, new_window);
  auto weights = at::zeros({2 * new_window - 1, 2 * old_window - 1}, at::kDouble);
  auto at = weights.accessor<double, 2>();
  for (int64_t offset = 0; offset < new_window; ++offset) {
    const auto x = static_cast<double>(offset);
    const auto right =
        std::min<int64_t>(std::lower_bound(places.begin(), places.end(), x) - places.begin(), old_window - 1);
    const int64_t left = std::max<int64_t>(right - 1, 0);
    const double gap = places[right] - places[left];
    const double share = gap > 0 ? std::min(1.0, (x - places[left]) / gap) : 1.0;
    for (const int64_t sign : {-1, 1}) {
      at[new_window - 1 + sign * offset][old_window - 1 + sign * left] = 1 - share;
      at[new_window - 1 + sign * offset][old_window - 1 + sign * right] = share;
    }
  }
  return weights;
}

}  // namespace

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

at::Tensor resample_relative_bias(const at::Tensor& table, int64_t window) {
  if (table.dim() == 3) {
    require(table.size(1) == table.size(2), ErrorKind::data, "resample_relative_bias: {} is not square",
            shape_text(table));
    return resample_relative_bias(table.flatten(1).t(), window)
        .t()
        .reshape({table.size(0), 2 * window - 1, 2 * window - 1});
  }
  const int64_t rows = table.dim() == 2 ? table.size(0) : 0;
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(rows))));
  require(side % 2 == 1 && side * side == rows && window > 0, ErrorKind::data,
          "resample_relative_bias: expected [(2W−1)²,H] or [H,2W−1,2W−1] and a window, got {} and {}",
          shape_text(table), window);
  const int64_t old_window = (side + 1) / 2;
  if (old_window == window) return table;
  const auto weights = interpolation(old_window, window).to(table.device());
  const auto grid = table.to(at::kDouble).view({side, side, table.size(1)}).permute({2, 0, 1});  // [H,2W−1,2W−1]
  const auto resampled = at::matmul(at::matmul(weights, grid), weights.t());
  return resampled.flatten(1).t().contiguous().to(table.scalar_type());
}

}  // namespace fovea
