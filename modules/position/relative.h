// Learned numbers or vectors for each distance on a line.
#pragma once

#include "fovea/modules/attention/position_encoding.h"
#include "fovea/modules/module.h"

namespace fovea {

struct ClippedRelativeBiasOptions {
  int64_t heads = 0;  // 1: the same for all heads
  int64_t reach = 0;  // k: distances beyond ±k share the outermost number
};

// bias_h = table[clip(j − i, −k, k) + k][h]. Key `table` [2k+1,H]. To share it among layers, hand one to all.
// Raffel et al., 2020 (with buckets), and Shaw et al., 2018, https://arxiv.org/abs/1803.02155 (the clipping)
class ClippedRelativeBiasImpl : public Module<ClippedRelativeBiasImpl>, public PositionEncoding {
 public:
  explicit ClippedRelativeBiasImpl(const ClippedRelativeBiasOptions& options);
  void reset() override;
  at::Tensor bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;

  ClippedRelativeBiasOptions options;
  at::Tensor table;
};
FOVEA_MODULE(ClippedRelativeBias);

struct BucketedRelativeBiasOptions {
  int64_t heads = 0;
  int64_t buckets = 32;        // even when both directions count
  int64_t max_distance = 128;  // farther ones share the last bucket
  bool bidirectional = true;   // false: keys after the query all fall into bucket 0
};

// T5's buckets of j − i: int64, of the same shape. One bucket a distance for the first half of them, the others grow
// logarithmically up to max_distance; with both directions, keys after the query use the upper half.
at::Tensor relative_buckets(const at::Tensor& offsets, const BucketedRelativeBiasOptions& options);

// bias_h = table[bucket(j − i)][h]. Key `weight` [buckets,H] (T5's relative_attention_bias). T5 does not scale its
// scores: set AttentionArgs::scale to 1. Raffel et al., Exploring the Limits of Transfer Learning, 2020,
// https://arxiv.org/abs/1910.10683
class BucketedRelativeBiasImpl : public Module<BucketedRelativeBiasImpl>, public PositionEncoding {
 public:
  explicit BucketedRelativeBiasImpl(const BucketedRelativeBiasOptions& options);
  void reset() override;
  at::Tensor bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;

  BucketedRelativeBiasOptions options;
  at::Tensor weight;
};
FOVEA_MODULE(BucketedRelativeBias);

struct ShawRelativeOptions {
  int64_t head_width = 0;  // d
  int64_t reach = 0;       // k: distances beyond ±k share the outermost vector
  bool values = true;      // vectors for the values too
};

// Scores gain q_i·r^K_{j−i}/√d, and the result Σ_j a_ij·r^V_{j−i} through `value_sum`. Keys `keys` [2k+1,d],
// `values` [2k+1,d], for all heads. Throws Error(data) naming the shape of q when its width is another. Shaw et al.,
// Self-Attention with Relative Position Representations, 2018, https://arxiv.org/abs/1803.02155
class ShawRelativeImpl : public Module<ShawRelativeImpl>, public PositionEncoding {
 public:
  explicit ShawRelativeImpl(const ShawRelativeOptions& options);
  void reset() override;
  at::Tensor bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;

  // weights [B,H,N,M] → [B,H,N,d], to be added to attention's result. Throws Error(usage) without `values`.
  at::Tensor value_sum(const at::Tensor& weights, const PositionArgs& args = {}) const;

  ShawRelativeOptions options;
  at::Tensor keys;
  at::Tensor values;  // undefined without
};
FOVEA_MODULE(ShawRelative);

}  // namespace fovea
