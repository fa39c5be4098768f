#include "fovea/modules/position/window_bias.h"

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"
#include "fovea/modules/window/relative_bias.h"

namespace fovea {
namespace {

void check_options(const char* layer, int64_t heads, const std::array<int64_t, 2>& window) {
  require(heads > 0 && window[0] > 0 && window[1] > 0, ErrorKind::usage,
          "{}: heads {} and window {}x{} must be positive", layer, heads, window[0], window[1]);
}

void check_tokens(const char* layer, const at::Tensor& q, const at::Tensor& k, const std::array<int64_t, 2>& window) {
  const int64_t places = window[0] * window[1];
  require(q.size(-2) == places && k.size(-2) == places, ErrorKind::data,
          "{}: made for the {} tokens of a window of {}x{}, got q {} and k {}", layer, places, window[0], window[1],
          shape_text(q), shape_text(k));
}

// Offsets −(W−1)…W−1 of one side, log-spaced, divided by the largest of the window trained with.
at::Tensor log_offsets(int64_t window, int64_t trained) {
  const auto offsets = at::arange(-(window - 1), window, at::kFloat);
  const auto wide = offsets * (8.0 / static_cast<double>(std::max<int64_t>(trained - 1, 1)));
  return at::sign(wide) * at::log2(wide.abs() + 1.0) / 3.0;
}

}  // namespace

GridRelativeBiasImpl::GridRelativeBiasImpl(const GridRelativeBiasOptions& options) : options(options) {
  check_options("GridRelativeBias", options.heads, options.window);
  reset();
}

void GridRelativeBiasImpl::reset() {
  const auto [height, width] = options.window;
  relative_position_bias_table = register_parameter(
      "relative_position_bias_table", init_truncated_normal({(2 * height - 1) * (2 * width - 1), options.heads}, 0.02));
  index_ = relative_position_index(height, width);
}

at::Tensor GridRelativeBiasImpl::bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs&) const {
  check_tokens("GridRelativeBias", q, k, options.window);
  return relative_position_bias(relative_position_bias_table, index_);
}

LogRelativeBiasImpl::LogRelativeBiasImpl(const LogRelativeBiasOptions& given) : options(given) {
  check_options("LogRelativeBias", options.heads, options.window);
  require(options.hidden > 0, ErrorKind::usage, "LogRelativeBias: hidden {} must be positive", options.hidden);
  for (size_t side = 0; side < 2; ++side) {
    if (options.pretrained[side] == 0) options.pretrained[side] = options.window[side];
  }
  reset();
}

void LogRelativeBiasImpl::reset() {
  const auto [height, width] = options.window;
  first = register_module("0", Linear({.in_features = 2, .out_features = options.hidden, .initial_std = 0.02}));
  second = register_module(
      "2", Linear({.in_features = options.hidden, .out_features = options.heads, .bias = false, .initial_std = 0.02}));
  index_ = relative_position_index(height, width);
  const auto rows = log_offsets(height, options.pretrained[0]), columns = log_offsets(width, options.pretrained[1]);
  offsets_ = at::stack({rows.repeat_interleave(columns.numel()), columns.repeat({rows.numel()})}, 1);
}

at::Tensor LogRelativeBiasImpl::bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs&) const {
  check_tokens("LogRelativeBias", q, k, options.window);
  return window_bias();
}

at::Tensor LogRelativeBiasImpl::window_bias() const {
  const auto offsets = offsets_.to(first->weight.scalar_type());
  const auto hidden = at::relu(at::linear(offsets, first->weight, first->bias));
  const auto table = at::linear(hidden, second->weight);  // [(2Wh−1)(2Ww−1),H]
  return relative_position_bias(16 * at::sigmoid(table), index_);
}

}  // namespace fovea
