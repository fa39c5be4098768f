// Tensors of a checkpoint fitted to a network that is not quite the one they came from.
#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>

#include "fovea/modules/patch/position_table.h"

namespace fovea {

// Layers that answer by class: `head`, `head.fc`, `head_dist`, `fc`, `classifier`, `last_linear`. Another number of
// classes needs a new one.
bool is_classifier(std::string_view key);

// Whether two shapes differ by sides of 1 at their ends alone, as a matrix and a 1×1 convolution do.
bool same_but_trailing_ones(at::IntArrayRef a, at::IntArrayRef b);

// The tensor in the given shape, or an undefined one where there is no way:
// - the first convolution for other input channels: to one, the sum over colours; to more, the colours repeated and
//   scaled by 3 / channels (timm's adapt_input_conv);
// - a position table `pos_embed` [1,prefix+s²,D] for another square grid, its prefix kept;
// - a table of relative biases, Swin's [(2W−1)²,H] or MaxViT's [H,2W−1,2W−1], for another square window
//   (resample_relative_bias).
at::Tensor adapt_tensor(std::string_view key, const at::Tensor& tensor, at::IntArrayRef shape,
                        TableResampling resampling);

}  // namespace fovea
