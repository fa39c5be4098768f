// Attention inside windows of a grid: the one function that every layer of Swin attention calls.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <array>
#include <optional>
#include <string>

#include "fovea/modules/window/window_layout.h"

namespace fovea {

struct WindowArgs {
  int64_t heads = 0;                       // C is a multiple
  std::array<int64_t, 2> window = {0, 0};  // tokens: height, width; may exceed the grid, which is padded
  std::array<int64_t, 2> shift = {0, 0};   // tokens the grid is rolled up and to the left, less than the window
  bool pad_first = false;                  // pad, then roll (torchvision; a side of one window is not rolled);
                                           // false: roll, then pad (timm)
  at::Tensor bias_table;                   // [(2Wh−1)(2Ww−1),H], relative position bias; undefined: none
  at::Tensor bias_index;                   // int64 [W²,W²], relative_position_index(); goes with bias_table
  at::Tensor bias;                         // instead of the table: [H,W²,W²], or [windows,H,W²,W²] with the shift
                                           // mask already added
  at::Tensor pad_row;                      // [3C], q, k, v of a padded token (the bias of the product); 0 without
  const WindowTables* tables = nullptr;    // made beforehand, used where their layout is that of this call
  std::optional<double> scale = {};        // factor of q·k, 1/√d unless given
  double dropout = 0.0;                    // on the probabilities, kept ones scaled by 1/(1−p); 0 in evaluation
  const torch::nn::Module* module = nullptr;  // the calling layer, so that a recorder can name its maps
  std::string backend = {};                   // run this row of the table or throw; empty: the first that accepts
  bool strided = false;                       // windows spread over the whole grid, see WindowLayout; without shift
};

// The windows that a call with these arguments cuts a grid of h×w tokens into.
WindowLayout window_layout(int64_t height, int64_t width, const WindowArgs& args);

// In each window of the rolled and padded grid, out = softmax(q·kᵀ·scale + bias + shift mask)·v; then windows, padding
// and roll are undone. Tokens that the roll brought together from opposite borders get −100, a finite bias.
//
// qkv [B,h,w,3C] (q, k, v, each head by head) → [B,h,w,C]. A recorder gets [B·windows,H,W²,W²], windows in row order.
// Throws Error(data) naming both shapes where they disagree, Error(usage) for heads, windows and shifts that cannot be.
// Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, 2021,
// https://arxiv.org/abs/2103.14030
at::Tensor window_attention(const at::Tensor& qkv, const WindowArgs& args);

// One line a backend: its name, and either "runs" (for the first that accepts), "could run" or why it refuses.
std::string explain_window_backend(const at::Tensor& qkv, const WindowArgs& args);

}  // namespace fovea
