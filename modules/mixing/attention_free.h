// Attention-free transformer: keys weigh values channel by channel, with a learned weight for each pair of places in
// place of a product of queries and keys.
#pragma once

#include "fovea/modules/inference/linear.h"

namespace fovea {

struct AttentionFreeOptions {
  int64_t dim = 0;      // D
  int64_t hidden = 0;   // E of queries, keys and values; 0: dim
  int64_t tokens = 0;   // AFT-full: the most tokens there can be; 0: AFT-simple, without places
  int64_t rank = 0;     // AFT-full: w = u·rᵀ of this rank; 0: a table
  bool causal = false;  // token i sees tokens 0…i
};

// y_i = W_o(σ(q_i) ⊙ Σ_j exp(k_j + w_ij) ⊙ v_j / Σ_j exp(k_j + w_ij)), channel by channel; AFT-simple has w = 0. x
// [B,N,D] → same. AFT-full costs N²·E multiply-adds and no N×N×E tensor, AFT-simple N·E beside its products. What the
// mask (bool [B,N], true = a token) forbids has no effect, NaN included. Exponents are taken against the largest of
// their channel (k) and row (w): a token all of whose keys lie 69 below that, in sum, gets zeros. The recorder gets
// [B,1,N,N], the mean over the channels.
//
// Keys `q`, `k`, `v` [E,D], `proj` [D,E] with biases, AFT-full `w` [tokens,tokens], or with a rank `u` and `r`
// [tokens,rank]. Throws Error(usage) for numbers that do not go together, Error(data) naming the shapes.
// Zhai et al., An Attention Free Transformer, 2021, https://arxiv.org/abs/2105.14103
class AttentionFreeImpl : public Module<AttentionFreeImpl> {
 public:
  explicit AttentionFreeImpl(const AttentionFreeOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask = {});

  AttentionFreeOptions options;  // with the zero of hidden resolved
  Linear q = nullptr, k = nullptr, v = nullptr, proj = nullptr;
  at::Tensor w;     // AFT-full without a rank
  at::Tensor u, r;  // with one

 private:
  at::Tensor pair_weights(int64_t tokens) const;
};
FOVEA_MODULE(AttentionFree);

}  // namespace fovea
