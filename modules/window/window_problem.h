// A validated call of window_attention, as its backends see it.
#pragma once

#include "fovea/modules/window/window_attention.h"

namespace fovea {

struct WindowProblem {
  at::Tensor qkv;  // [B,h,w,3C]
  WindowLayout layout;
  const WindowTables* ready_tables = nullptr;  // of this layout; null: they are yet to be made
  int64_t heads = 0;
  double scale = 1;
  at::Tensor bias_table;  // [(2Wh−1)(2Ww−1),H], with
  at::Tensor bias_index;  // int64 [W²,W²]
  at::Tensor bias;        // or [H,W²,W²], or [1|windows,H,W²,W²] with the shift mask in it; undefined: none
  at::Tensor pad_row;     // [3C] in qkv's type, or undefined
  double dropout = 0;
  at::Tensor factors = {};  // of the weights [B·windows,H,W²,W²], dropout that is drawn already; undefined: none

  WindowTables tables() const;
  // Relative bias and shift mask together, [1|windows,H,W²,W²] in qkv's type; undefined where there is neither.
  at::Tensor complete_bias(const WindowTables& tables) const;
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

// Rows of the table.
std::string window_cpu_refuses(const WindowProblem& problem);
at::Tensor window_cpu(const WindowProblem& problem);
std::string window_cuda_refuses(const WindowProblem& problem);
at::Tensor window_cuda(const WindowProblem& problem);
std::string window_sdpa_refuses(const WindowProblem& problem);
at::Tensor window_sdpa(const WindowProblem& problem);

}  // namespace fovea
