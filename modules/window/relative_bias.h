// The learned bias of Swin's windows, one number for each head and each offset between two tokens.
// Liu et al., Swin Transformer, 2021, https://arxiv.org/abs/2103.14030
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace fovea {

// Which row of the table belongs to query i and key j of a window: int64 [W²,W²], with tokens in row order,
// (yᵢ − yⱼ + Wh − 1)·(2Ww − 1) + (xᵢ − xⱼ + Ww − 1).
at::Tensor relative_position_index(int64_t window_height, int64_t window_width);

// table [(2Wh−1)(2Ww−1),H], index [W²,W²] → [H,W²,W²].
at::Tensor relative_position_bias(const at::Tensor& table, const at::Tensor& index);

// table [(2W−1)²,H] (Swin's) or [H,2W−1,2W−1] (Google's MaxViT) of a square window → the same of one of side `window`:
// linear between offsets that are spread by a geometric progression, so that near ones keep their values (BEiT's way,
// as timm does it without SciPy). The table itself where the side is the same. Throws Error(data) when the table is of
// no square window.
at::Tensor resample_relative_bias(const at::Tensor& table, int64_t window);

}  // namespace fovea
