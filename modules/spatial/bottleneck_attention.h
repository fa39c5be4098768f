// Bottleneck attention: all pixels attend to all, with learned relative positions. It takes the place of the 3×3
// convolution in a residual block.
#pragma once

#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/spatial/relative_scores.h"

namespace fovea {

struct BottleneckAttentionOptions {
  int64_t channels = 0;
  int64_t out_channels = 0;  // 0: channels; a multiple of heads
  int64_t heads = 4;
  int64_t head_width = 0;  // d of queries and keys; 0: out_channels/heads, out_channels rounded to a multiple of 8
  int64_t height = 0;      // pixels of the map that the position tables are made for
  int64_t width = 0;
  int64_t stride = 1;  // 1, or 2: a mean over 2×2 pixels follows
  bool qkv_bias = false;
  bool scale_positions = false;  // q·r/√d; false: q·r
};

// out = softmax(q·kᵀ/√d + q·(r_rows + r_columns)ᵀ)·v. [B,C,h,w] → [B,C',h/stride,w/stride]. On maps of another size
// than the tables', an offset keeps its row, and those farther than the table share its outermost rows.
//
// Keys `qkv.weight`, `pos_embed.height_rel` [2·height−1,d], `pos_embed.width_rel` (timm's BottleneckAttn). Throws
// Error(usage) for options that do not go together, Error(data) naming the shape of x.
// Srinivas et al., Bottleneck Transformers for Visual Recognition, 2021, https://arxiv.org/abs/2101.11605
class BottleneckAttentionImpl : public Module<BottleneckAttentionImpl> {
 public:
  explicit BottleneckAttentionImpl(const BottleneckAttentionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  BottleneckAttentionOptions options;  // with the zeros resolved

  // Learned rows for the offsets along both sides.
  class PositionsImpl : public Module<PositionsImpl> {
   public:
    PositionsImpl(int64_t height, int64_t width, int64_t head_width);
    void reset() override;

    int64_t height;  // 2·height − 1 rows
    int64_t width;
    int64_t head_width;
    at::Tensor height_rel;
    at::Tensor width_rel;
  };
  Conv2d qkv = nullptr;
  std::shared_ptr<PositionsImpl> pos_embed;
};
FOVEA_MODULE(BottleneckAttention);

}  // namespace fovea
