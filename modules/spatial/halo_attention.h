// Halo attention: each block of pixels attends to itself and a halo around it.
#pragma once

#include "fovea/modules/spatial/bottleneck_attention.h"

namespace fovea {

struct HaloAttentionOptions {
  int64_t channels = 0;
  int64_t out_channels = 0;  // 0: channels; a multiple of heads
  int64_t heads = 8;
  int64_t head_width = 0;  // d of queries and keys; 0: out_channels/heads, out_channels rounded to a multiple of 8
  int64_t block = 8;       // side of a block, pixels
  int64_t halo = 3;        // pixels seen beyond each border of the block
  bool qkv_bias = false;
  bool scale_positions = false;  // q·r/√d; false: q·r
};

// out = softmax(q·kᵀ/√d + q·(r_rows + r_columns)ᵀ)·v for the queries of a block over the keys of its window of
// (block + 2·halo)² pixels. [B,C,h,w] → [B,C',h,w]; multiply-adds grow with h·w. Places outside the map have key and
// value zero and are attended to, as in timm; sides that blocks do not divide are padded so, then cut. The recorder
// gets [B,H,h·w,h·w], whose rows sum to less than 1 where a window leaves the map.
//
// Keys `q.weight`, `kv.weight` (k and v head by head), `pos_embed.height_rel` [2·(block+2·halo)−1,d],
// `pos_embed.width_rel` (timm's HaloAttn). Throws Error(usage) for options that do not go together, Error(data) naming
// the shape of x.
// Vaswani et al., Scaling Local Self-Attention for Parameter Efficient Visual Backbones, 2021,
// https://arxiv.org/abs/2103.12731
class HaloAttentionImpl : public Module<HaloAttentionImpl> {
 public:
  explicit HaloAttentionImpl(const HaloAttentionOptions& options);
  void reset() override;
  std::vector<at::Tensor*> tables() override { return {&index_}; }
  at::Tensor forward(const at::Tensor& x);

  HaloAttentionOptions options;  // with the zeros resolved
  Conv2d q = nullptr;
  Conv2d kv = nullptr;
  std::shared_ptr<BottleneckAttentionImpl::PositionsImpl> pos_embed;

 private:
  int64_t window() const { return options.block + 2 * options.halo; }

  at::Tensor index_;  // relative_rows of a block in its window
};
FOVEA_MODULE(HaloAttention);

}  // namespace fovea
