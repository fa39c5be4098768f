// From windows back to the picture: undoes partition, cyclic shift and padding for values that belong to tokens.
// Liu et al., Swin Transformer, 2021, https://arxiv.org/abs/2103.14030
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "fovea/modules/attention/recorder.h"

namespace fovea {

struct WindowLayout {
  int64_t height = 0;         // tokens of the grid, without padding
  int64_t width = 0;
  int64_t window_height = 0;  // tokens of a window
  int64_t window_width = 0;
  int64_t shift_height = 0;   // tokens by which the grid was rolled up and to the left
  int64_t shift_width = 0;
  bool pad_first = false;     // false: roll, then pad (timm); true: pad, then roll (torchvision)
};

WindowLayout window_layout(const AttentionMap& map);

// Which token stands at each place of each window: int64 [windows, W²], index in row order of the grid, −1 for padding.
// Windows and their places are in row order.
at::Tensor window_tokens(const WindowLayout& layout);

// Values of the places of windows, [B·windows, W²], → values of tokens, [B,h,w]; padding is dropped.
// Throws Error(data) when the shape does not fit the layout.
at::Tensor stitch_windows(const at::Tensor& values, const WindowLayout& layout);

// Attention inside windows, [B·windows,H,W²,W²], → how much each token receives, the mean over the W² queries of its
// window, [B,H,h,w]. Places of padding count as queries, so an evenly attending layer gives 1/W² at every token.
at::Tensor received_attention(const at::Tensor& weights, const WindowLayout& layout);

}  // namespace fovea
