#include "fovea/modules/window/window_function.h"

namespace fovea {
namespace {

at::Tensor contiguous_or_none(const at::Tensor& t) {
  return t.defined() ? t.contiguous() : t;
}

}  // namespace

PreparedWindows::PreparedWindows(const WindowProblem& p, uint64_t seed)
    : qkv(kernel_tensors::with_adjacent_columns(p.qkv)),
      pad_row(contiguous_or_none(p.pad_row)),
      table(contiguous_or_none(p.bias_table)),
      index(contiguous_or_none(p.bias_index)),
      bias(contiguous_or_none(p.bias)) {
  const auto& layout = p.layout;
  call = {.type = kernel_tensors::number(qkv),
          .batch = qkv.size(0),
          .height = layout.height,
          .width = layout.width,
          .window_height = layout.window_height,
          .window_width = layout.window_width,
          .shift_height = layout.shift_height,
          .shift_width = layout.shift_width,
          .pad_first = layout.pad_first,
          .heads = p.heads,
          .head_width = p.head_width(),
          .scale = p.scale,
          .qkv = qkv.const_data_ptr(),
          .image_stride = qkv.stride(0),
          .row_stride = qkv.stride(1),
          .token_stride = qkv.stride(2),
          .pad_row = kernel_tensors::data_of(pad_row),
          .table = kernel_tensors::data_of(table),
          .table_index = index.defined() ? index.const_data_ptr<int64_t>() : nullptr,
          .dropout = p.dropout,
          .seed = seed};
  if (bias.defined()) (bias.dim() == 4 && bias.size(0) > 1 ? call.complete_bias : call.bias) = bias.const_data_ptr();
}

std::string window_kernel_refuses(const WindowProblem& p, int64_t most_width) {
  if (p.qkv.numel() == 0) return "a dimension is empty";
  if (p.head_width() > most_width) return fmt::format("head width {}, over {}", p.head_width(), most_width);
  if (p.bias.defined() && p.bias.dim() == 4 && p.bias.size(0) > 1 && differentiates({p.bias})) {
    return "the gradient of a bias for each window";
  }
  return "";
}

WindowProblem in_one_type(const WindowProblem& given) {
  WindowProblem p = given;
  const auto type = p.qkv.scalar_type();
  p.bias_table = kernel_tensors::in_type(p.bias_table, type);
  p.bias = kernel_tensors::in_type(p.bias, type);
  return p;
}

}  // namespace fovea
