#include "fovea/modules/window/window_attention_layer.h"

#include "fovea/modules/checks.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"
#include "fovea/modules/window/relative_bias.h"

namespace fovea {

void check_window_attention(const char* layer, const WindowAttentionOptions& options) {
  require_heads(layer, options.dim, options.heads);
  for (size_t side = 0; side < 2; ++side) {
    require(options.window[side] > 0 && options.shift[side] >= 0 && options.shift[side] < options.window[side] &&
                options.grid[side] >= 0,
            ErrorKind::usage, "{}: window {}x{}, shift {}x{} and grid {}x{} do not go together", layer,
            options.window[0], options.window[1], options.shift[0], options.shift[1], options.grid[0], options.grid[1]);
  }
  require_probability(layer, "attn_drop", options.attn_drop);
  require_probability(layer, "proj_drop", options.proj_drop);
}

WindowArgs window_args(const WindowAttentionOptions& options) {
  return {.heads = options.heads, .window = options.window, .shift = options.shift, .pad_first = options.pad_first};
}

WindowTables prepared_windows(const WindowAttentionOptions& options) {
  const auto [rows, columns] = options.grid;
  if (rows == 0 || columns == 0) return {};
  return window_tables(window_layout(rows, columns, window_args(options)));
}

WindowAttentionImpl::WindowAttentionImpl(const WindowAttentionOptions& options) : options(options) {
  check_window_attention("WindowAttention", options);
  reset();
}

void WindowAttentionImpl::reset() {
  const auto [height, width] = options.window;
  packed_bias_.drop();
  relative_position_bias_table = register_parameter(
      "relative_position_bias_table", init_truncated_normal({(2 * height - 1) * (2 * width - 1), options.heads}, 0.02));
  qkv = register_module("qkv", Linear({.in_features = options.dim,
                                       .out_features = 3 * options.dim,
                                       .bias = options.qkv_bias,
                                       .initial_std = 0.02}));
  proj =
      register_module("proj", Linear({.in_features = options.dim, .out_features = options.dim, .initial_std = 0.02}));
  index_ = relative_position_index(height, width);
  windows_ = prepared_windows(options);
}

std::vector<at::Tensor*> WindowAttentionImpl::tables() {
  return {&index_, &windows_.tokens, &windows_.padding, &windows_.places, &windows_.mask};
}

void WindowAttentionImpl::pack() {
  if (!windows_.tokens.defined()) return;
  at::NoGradGuard no_grad;
  const auto bias = relative_position_bias(relative_position_bias_table, index_);
  const auto complete =
      windows_.mask.defined() ? bias + windows_.mask.to(bias.scalar_type()).unsqueeze(1) : bias.unsqueeze(0);
  packed_bias_.set([complete](at::IntArrayRef) { return complete; }, {}, relative_position_bias_table);
}

at::Tensor WindowAttentionImpl::forward(const at::Tensor& x) {
  require(x.dim() == 4 && x.size(3) == options.dim, ErrorKind::data, "WindowAttention: expected [B,h,w,{}], got {}",
          options.dim, shape_text(x));
  WindowArgs args = window_args(options);
  args.pad_row = qkv->bias;
  args.tables = &windows_;
  args.dropout = is_training() ? options.attn_drop : 0.0;
  args.module = this;
  const bool packed = !at::GradMode::is_enabled() && packed_bias_.valid_for(relative_position_bias_table) &&
                      window_layout(x.size(1), x.size(2), args) == windows_.layout;
  if (packed) {
    args.bias = packed_bias_.weight(x);
  } else {
    args.bias_table = relative_position_bias_table;
    args.bias_index = index_;
  }
  const auto mixed = window_attention(qkv->forward(x), args);
  return at::dropout(proj->forward(mixed), options.proj_drop, is_training());
}

}  // namespace fovea
