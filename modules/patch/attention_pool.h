// Pooling of tokens by one learned query.
#pragma once

#include "fovea/modules/inference/norm.h"
#include "fovea/modules/patch/mlp.h"

namespace fovea {

struct AttentionPoolOptions {
  int64_t dim = 0;  // width of a token, a multiple of heads
  int64_t heads = 0;
  double mlp_ratio = 4;                      // hidden width of the MLP / dim
  Activation activation = Activation::gelu;  // of the MLP
  double norm_eps = 1e-6;
};

// y + mlp(norm(y)), y = proj(softmax(q(latent)·kᵀ/√d)·v), [k|v] = kv(x): a learned query reads all tokens.
// Keys `latent` [1,1,D], `q.*`, `kv.*` [2D,D], `proj.*`, `norm.*`, `mlp.*`. A recorder gets [B,H,1,N].
// Lee et al., Set Transformer, 2018, https://arxiv.org/abs/1810.00825, as SigLIP has it: Zhai et al., Sigmoid Loss for
// Language Image Pre-Training, 2023, https://arxiv.org/abs/2303.15343
class AttentionPoolImpl : public Module<AttentionPoolImpl> {
 public:
  explicit AttentionPoolImpl(const AttentionPoolOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,N,D] → [B,D]

  AttentionPoolOptions options;
  at::Tensor latent;
  Linear q{nullptr};
  Linear kv{nullptr};
  Linear proj{nullptr};
  LayerNorm norm{nullptr};
  Mlp mlp{nullptr};
};
FOVEA_MODULE(AttentionPool);

}  // namespace fovea
