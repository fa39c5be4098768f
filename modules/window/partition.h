// Cuts grids of tokens into windows and puts them together again.
// Liu et al., Swin Transformer, 2021, https://arxiv.org/abs/2103.14030
#pragma once

#include "fovea/modules/window/window_layout.h"

namespace fovea {

// x [B,h,w,C], h and w multiples of the window → [B·windows,Wh·Ww,C], windows and their places in row order.
// Throws Error(data) for other shapes.
at::Tensor window_partition(const at::Tensor& x, int64_t window_height, int64_t window_width);

// The way back: windows [B·windows,Wh·Ww,C] → [B,h,w,C].
at::Tensor window_reverse(const at::Tensor& windows, const WindowLayout& layout);

// x [B,h,w,C] of a strided layout with the tokens of each of its windows side by side, as the same layout has them that
// is not strided. Throws Error(data) where the windows do not divide the grid, and for a shift.
at::Tensor gather_strided(const at::Tensor& x, const WindowLayout& layout);

// The way back.
at::Tensor spread_strided(const at::Tensor& x, const WindowLayout& layout);

// Roll, padding and partition: x [B,h,w,C] → [B·windows,W²,C]. Padded places hold `padding` [C], or 0 without.
at::Tensor to_windows(const at::Tensor& x, const WindowLayout& layout, const at::Tensor& padding = {});

// The way back: [B·windows,W²,C] → [B,h,w,C], padded places are dropped.
at::Tensor from_windows(const at::Tensor& windows, const WindowLayout& layout);

}  // namespace fovea
