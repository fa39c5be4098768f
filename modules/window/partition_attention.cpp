#include "fovea/modules/window/partition_attention.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"
#include "fovea/modules/window/relative_bias.h"

namespace fovea {

void RelativePositionTableImpl::reset() {
  const auto [height, width] = options.layer.window;
  const int64_t rows = 2 * height - 1, columns = 2 * width - 1, heads = options.layer.heads;
  const auto shape =
      options.table_by_head ? std::vector<int64_t>{heads, rows, columns} : std::vector<int64_t>{rows * columns, heads};
  relative_position_bias_table = register_parameter("relative_position_bias_table", init_truncated_normal(shape, 0.02));
  index = relative_position_index(height, width);
  if (options.table_by_head) index = index.t().contiguous();
}

at::Tensor RelativePositionTableImpl::by_offset() const {
  const auto& table = relative_position_bias_table;
  return options.table_by_head ? table.flatten(1).t() : table;
}

PartitionAttentionImpl::PartitionAttentionImpl(const PartitionAttentionOptions& options) : options(options) {
  check_window_attention("PartitionAttention", options.layer);
  const auto& shift = options.layer.shift;
  require(shift[0] == 0 && shift[1] == 0, ErrorKind::usage, "PartitionAttention: shift {}x{}, expected none", shift[0],
          shift[1]);
  reset();
}

void PartitionAttentionImpl::reset() {
  const auto& layer = options.layer;
  packed_bias_.drop();
  qkv = register_module(
      "qkv",
      Linear({.in_features = layer.dim, .out_features = 3 * layer.dim, .bias = layer.qkv_bias, .initial_std = 0.02}));
  rel_pos = register_module("rel_pos", std::make_shared<RelativePositionTableImpl>(options));
  proj = register_module("proj", Linear({.in_features = layer.dim, .out_features = layer.dim, .initial_std = 0.02}));
  windows_ = prepared_windows(layer);
}

std::vector<at::Tensor*> PartitionAttentionImpl::tables() {
  return {&windows_.tokens, &windows_.padding, &windows_.places, &windows_.mask};
}

void PartitionAttentionImpl::pack() {
  at::NoGradGuard no_grad;
  const auto bias = relative_position_bias(rel_pos->by_offset(), rel_pos->index).unsqueeze(0);  // [1,H,W²,W²]
  packed_bias_.set([bias](at::IntArrayRef) { return bias; }, {}, rel_pos->relative_position_bias_table);
}

at::Tensor PartitionAttentionImpl::forward(const at::Tensor& x) {
  const auto& layer = options.layer;
  const auto [height, width] = layer.window;
  require(x.dim() == 4 && x.size(3) == layer.dim && x.size(1) % height == 0 && x.size(2) % width == 0, ErrorKind::data,
          "PartitionAttention: expected [B,h,w,{}], h and w multiples of {} and {}, got {}", layer.dim, height, width,
          shape_text(x));
  auto projected = qkv->forward(x);
  if (options.head_first) {
    const int64_t head_width = layer.dim / layer.heads;
    projected = projected.view({x.size(0), x.size(1), x.size(2), layer.heads, 3, head_width})
                    .transpose(3, 4)
                    .reshape({x.size(0), x.size(1), x.size(2), 3 * layer.dim});
  }
  WindowArgs args = window_args(layer);
  args.strided = options.strided;
  args.tables = &windows_;
  args.dropout = is_training() ? layer.attn_drop : 0.0;
  args.module = this;
  if (!at::GradMode::is_enabled() && packed_bias_.valid_for(rel_pos->relative_position_bias_table)) {
    args.bias = packed_bias_.weight(x);
  } else {
    args.bias_table = rel_pos->by_offset();
    args.bias_index = rel_pos->index;
  }
  return at::dropout(proj->forward(window_attention(projected, args)), layer.proj_drop, is_training());
}

}  // namespace fovea
