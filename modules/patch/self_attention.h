// Multi-head self-attention whose queries, keys and values come from one product.
#pragma once

#include "fovea/modules/inference/linear.h"

namespace fovea {

struct SelfAttentionOptions {
  int64_t dim = 0;  // width of a token, a multiple of heads
  int64_t heads = 0;
  bool qkv_bias = true;
  double attn_drop = 0;  // dropout of the attention probabilities
  double proj_drop = 0;  // dropout after the last product
};

// proj(softmax(q·kᵀ/√d)·v), [q|k|v] = qkv(x), d = dim/heads. Keys `qkv.*` (rows q, k, v; each head by head), `proj.*`.
// Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, https://arxiv.org/abs/2010.11929
class SelfAttentionImpl : public Module<SelfAttentionImpl> {
 public:
  explicit SelfAttentionImpl(const SelfAttentionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,N,D] → same

  SelfAttentionOptions options;
  Linear qkv{nullptr};
  Linear proj{nullptr};
};
FOVEA_MODULE(SelfAttention);

}  // namespace fovea
