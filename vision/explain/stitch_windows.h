// From windows back to the picture: undoes partition, cyclic shift and padding for values that belong to tokens.
// Liu et al., Swin Transformer, 2021, https://arxiv.org/abs/2103.14030
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/window/window_layout.h"

namespace fovea {

// The windows that a map was recorded in.
WindowLayout window_layout(const AttentionMap& map);

// Values of the places of windows, [B·windows, W²], → values of tokens, [B,h,w]; padding is dropped.
// Throws Error(data) when the shape does not fit the layout.
at::Tensor stitch_windows(const at::Tensor& values, const WindowLayout& layout);

// Attention inside windows, [B·windows,H,W²,W²], → how much each token receives, the mean over the W² queries of its
// window, [B,H,h,w]. Places of padding count as queries, so an evenly attending layer gives 1/W² at every token.
at::Tensor received_attention(const at::Tensor& weights, const WindowLayout& layout);

}  // namespace fovea
