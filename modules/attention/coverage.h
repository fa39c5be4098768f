// Coverage: what was attended to before enters the score, so that nothing is said twice and nothing left out.
#pragma once

#include "fovea/modules/attention/score.h"

namespace fovea {

struct CoverageAttentionOptions {
  int64_t query_width = 0;
  int64_t key_width = 0;
  int64_t hidden = 0;  // width of v; 0: key_width
};

struct CoverageStep {
  at::Tensor context;   // [B,e]
  at::Tensor weights;   // [B,M], a_t
  at::Tensor coverage;  // [B,M], c_{t+1} = c_t + a_t
};

// One step: a_t = softmax_j(vᵀ·tanh(W·q + U·k_j + w_c·c_tj)), with c_t the sum of the weights of the steps before t, so
// c_1 = 0.
//
// query [B,query_width], prepared [B,M,hidden] = prepare(keys), values [B,M,e], coverage [B,M] or undefined (zeros),
// mask bool [B,M] or undefined. Keys `score.…`, `coverage.weight` [hidden,1]. Throws Error(data) naming the shapes. See
// et al., Get To The Point, 2017, https://arxiv.org/abs/1704.04368; Tu et al., Modeling Coverage for Neural Machine
// Translation, 2016, https://arxiv.org/abs/1601.04811
class CoverageAttentionImpl : public Module<CoverageAttentionImpl> {
 public:
  explicit CoverageAttentionImpl(const CoverageAttentionOptions& options);
  void reset() override;

  at::Tensor prepare(const at::Tensor& keys) { return score->prepare(keys); }  // once a sequence
  CoverageStep forward(const at::Tensor& query, const at::Tensor& prepared, const at::Tensor& values,
                       const at::Tensor& coverage = {}, const at::Tensor& mask = {});

  CoverageAttentionOptions options;
  ScoreFunction score = nullptr;  // additive
  Linear coverage = nullptr;      // w_c
};
FOVEA_MODULE(CoverageAttention);

// weights [B,T,M] of all steps → a number: the mean over the batch of Σ_t Σ_j min(a_tj, c_tj), 0 for a single step.
// Throws Error(data) for another shape, as the next one.
at::Tensor repetition_loss(const at::Tensor& weights);

// The mean over the batch of Σ_j (1 − Σ_t a_tj)² over the source positions that `mask` (bool [B,M] or undefined) has.
at::Tensor omission_loss(const at::Tensor& weights, const at::Tensor& mask = {});

}  // namespace fovea
