// Attention in the windows of a grid: roll, padding and partition are indices, the shift mask is a comparison of
// regions.
//
// Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, 2021,
// https://arxiv.org/abs/2103.14030
#pragma once

#include "fovea/modules/kernels/number.h"

namespace fovea::kernels {

struct WindowCall {
  Number type = Number::float32;  // of qkv, pad_row, biases and the output; sums are float32, or float64 where it is
  int64_t batch = 0;              // B
  int64_t height = 0;             // h, tokens of the grid without padding
  int64_t width = 0;              // w
  int64_t window_height = 0;      // tokens
  int64_t window_width = 0;
  int64_t shift_height = 0;  // less than the window
  int64_t shift_width = 0;
  bool pad_first = false;  // pad, then roll; false: roll, then pad
  int64_t heads = 0;       // H
  int64_t head_width = 0;  // d, C = H·d
  double scale = 1;
  const void* qkv = nullptr;  // [B,h,w,3C], the columns next to each other
  int64_t image_stride = 0;   // of qkv, elements
  int64_t row_stride = 0;
  int64_t token_stride = 0;
  const void* pad_row = nullptr;  // [3C], of a padded token; null: zeros
  // At most one of these.
  const void* table = nullptr;           // [offsets,H], with
  const int64_t* table_index = nullptr;  // [W²,W²]; null, on a GPU: Swin's, of the places' distance, row by row
  const void* bias = nullptr;            // [H,W²,W²]
  const void* complete_bias = nullptr;   // [windows,H,W²,W²], the shift mask in it
  double dropout = 0;  // as AttentionCall's, of head h of window w of image b as head (b·windows + w)·H + h
  uint64_t seed = 0;
  uint64_t offset = 0;

  constexpr int64_t rows() const { return (height + window_height - 1) / window_height; }  // of windows
  constexpr int64_t columns() const { return (width + window_width - 1) / window_width; }
  constexpr int64_t windows() const { return rows() * columns(); }
  constexpr int64_t places() const { return window_height * window_width; }  // W²
  constexpr int64_t channels() const { return heads * head_width; }
};

// Parts that the windows of all images are summed in: as many partial sums each gradient below has.
constexpr int64_t kWindowParts = 4;

struct WindowGradients {
  const void* grad_out;  // [B,h,w,C], contiguous
  void* grad_qkv;        // [B,h,w,3C], contiguous
  void* grad_pad;        // [kWindowParts,3C] zeros, in the type of the sums; null: not wanted
  void* grad_bias;       // [kWindowParts,H,W²,W²] zeros, of the scores, in the type of the sums; null: not wanted
};

}  // namespace fovea::kernels
