// The layer of Swin: products around window_attention, with the bias table.
#pragma once

#include "fovea/modules/inference/linear.h"
#include "fovea/modules/window/window_attention.h"

namespace fovea {

struct WindowAttentionOptions {
  int64_t dim = 0;  // C, width of a token, a multiple of heads
  int64_t heads = 0;
  std::array<int64_t, 2> window = {7, 7};  // tokens: height, width
  std::array<int64_t, 2> shift = {0, 0};   // tokens, less than the window
  std::array<int64_t, 2> grid = {0, 0};    // tokens: the size whose tables are made beforehand; 0: none
  bool pad_first = false;                  // pad, then roll (torchvision); false: roll, then pad (timm)
  bool qkv_bias = true;
  double attn_drop = 0;  // dropout of the attention probabilities
  double proj_drop = 0;  // dropout after the last product
};

// Throws Error(usage) naming `layer` for options that do not go together.
void check_window_attention(const char* layer, const WindowAttentionOptions& options);
// Heads, windows and shifts, as window_attention takes them.
WindowArgs window_args(const WindowAttentionOptions& options);
// The tables of options.grid; empty where it is 0.
WindowTables prepared_windows(const WindowAttentionOptions& options);

// proj(window_attention(qkv(x))). A padded token enters as zeros, so its q, k, v are the bias of `qkv`.
// Keys `qkv.*`, `proj.*`, `relative_position_bias_table` [(2Wh−1)(2Ww−1),H].
// Liu et al., Swin Transformer, 2021, https://arxiv.org/abs/2103.14030
class WindowAttentionImpl : public Module<WindowAttentionImpl> {
 public:
  explicit WindowAttentionImpl(const WindowAttentionOptions& options);
  void reset() override;
  std::vector<at::Tensor*> tables() override;
  void pack() override;  // keeps the bias of `grid`, mask included
  void unpack() override { packed_bias_.drop(); }

  at::Tensor forward(const at::Tensor& x);  // [B,h,w,C] → same, any h and w

  WindowAttentionOptions options;
  Linear qkv{nullptr};
  Linear proj{nullptr};
  at::Tensor relative_position_bias_table;

 private:
  at::Tensor index_;      // relative_position_index
  WindowTables windows_;  // of options.grid
  PackedWeight packed_bias_;
};
FOVEA_MODULE(WindowAttention);

}  // namespace fovea
