// A validated call of window_attention, as its backends see it.
#pragma once

#include "fovea/modules/window/window_attention.h"

namespace fovea {

struct WindowProblem {
  at::Tensor qkv;       // [B,h,w,3C]
  WindowTables tables;  // of this layout
  int64_t heads = 0;
  double scale = 1;
  at::Tensor bias;     // [1|windows,H,W²,W²] in qkv's type, the shift mask included; undefined: none
  at::Tensor pad_row;  // [3C] in qkv's type, or undefined
  double dropout = 0;

  const WindowLayout& layout() const { return tables.layout; }
  int64_t channels() const { return qkv.size(3) / 3; }
  int64_t head_width() const { return channels() / heads; }
};

struct WindowResult {
  at::Tensor output;   // [B,h,w,C]
  at::Tensor weights;  // [B·windows,H,W²,W²]
};

// The readable implementation, the oracle of all others.
WindowResult reference_window_attention(const WindowProblem& problem);

// The weights alone, in float32 at least.
at::Tensor window_weights(const WindowProblem& problem);

// [B·windows,W²,parts·C] → parts of [B·windows,H,W²,d], views.
std::vector<at::Tensor> split_heads(const at::Tensor& windows, int64_t parts, int64_t heads);

// Rows of the table.
std::string window_sdpa_refuses(const WindowProblem& problem);
at::Tensor window_sdpa(const WindowProblem& problem);

}  // namespace fovea
