// Attention of the class token alone.
#pragma once

#include "fovea/modules/inference/linear.h"

namespace fovea {

struct ClassAttentionOptions {
  int64_t dim = 0;  // width of a token, a multiple of heads
  int64_t heads = 0;
  bool qkv_bias = true;
  double attn_drop = 0;  // dropout of the attention probabilities
  double proj_drop = 0;  // dropout after the last product
};

// proj(softmax(q(x₀)·k(x)ᵀ/√d)·v(x)): the first token reads all, itself included; linear in N. Keys `q.*`, `k.*`,
// `v.*`, `proj.*`. A recorder gets [B,H,1,N].
// Touvron et al., Going deeper with Image Transformers, 2021, https://arxiv.org/abs/2103.17239
class ClassAttentionImpl : public Module<ClassAttentionImpl> {
 public:
  explicit ClassAttentionImpl(const ClassAttentionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,N,D] → [B,1,D]

  ClassAttentionOptions options;
  Linear q{nullptr};
  Linear k{nullptr};
  Linear v{nullptr};
  Linear proj{nullptr};
};
FOVEA_MODULE(ClassAttention);

}  // namespace fovea
