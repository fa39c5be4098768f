// Hard attention: one place is chosen and its value alone is read.
#pragma once

#include "fovea/modules/attention/score.h"

namespace fovea {

enum class HardEstimator {
  reinforce,  // a sample; the choice learns from reinforce_loss alone
  gumbel,     // a sample; the gradient is that of the softmax of the perturbed scores (straight-through)
};

enum class HardInference { argmax, sample };

struct HardAttentionOptions {
  ScoreFunctionOptions score;
  HardEstimator estimator = HardEstimator::reinforce;
  double temperature = 1;  // of gumbel's softmax
  HardInference inference = HardInference::argmax;
};

struct HardAttentionResult {
  at::Tensor context;          // [B,N,e]
  at::Tensor weights;          // [B,N,M], the distribution that was drawn from
  at::Tensor choice;           // int64 [B,N]
  at::Tensor log_probability;  // [B,N], of the choice, float32 at least
  at::Tensor entropy;          // [B,N], of the distribution, nats, float32 at least
};

// choice ~ softmax(score(q, k)), context = value_choice. In training the choice is sampled; in evaluation as
// `inference` says, and only the chosen row of the values is read. A row without any allowed key gives zeros and choice
// 0.
//
// query [B,N,query_width], keys [B,M,key_width], values [B,M,e], mask bool [B,M] (true = may be chosen) or undefined.
// Keys `score.…`. Throws Error(usage) for a temperature that is not positive, Error(data) naming the shapes.
// Xu et al., Show, Attend and Tell, 2015, https://arxiv.org/abs/1502.03044; Jang et al., Categorical Reparameterization
// with Gumbel-Softmax, 2017, https://arxiv.org/abs/1611.01144
class HardAttentionImpl : public Module<HardAttentionImpl> {
 public:
  explicit HardAttentionImpl(const HardAttentionOptions& options);
  void reset() override;
  HardAttentionResult forward(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                              const at::Tensor& mask = {});

  HardAttentionOptions options;
  ScoreFunction score = nullptr;
};
FOVEA_MODULE(HardAttention);

// What rewards are compared with, so that their common part adds no noise: b ← (1 − rate)·b + rate·mean(reward).
class MovingBaseline {
 public:
  explicit MovingBaseline(double rate = 0.1) : rate_(rate) {}
  double value() const { return value_; }
  void update(const at::Tensor& rewards);

 private:
  double rate_;
  double value_ = 0;
};

// −mean((reward − b)·Σ_steps log_probability) − entropy_weight·mean(entropy): its gradient is an unbiased estimate of
// that of −E[reward] as long as b does not depend on the choices. reward [B] carries no gradient; log_probability and
// entropy [B,N]. Throws Error(data) naming the shapes that disagree.
// Williams, Simple Statistical Gradient-Following Algorithms, 1992, https://doi.org/10.1007/BF00992696
at::Tensor reinforce_loss(const HardAttentionResult& result, const at::Tensor& reward, double baseline = 0,
                          double entropy_weight = 0);

// bool [B,M], true from `last` (int64 [B]) on: the places a monotonic search may go to.
at::Tensor forward_mask(const at::Tensor& last, int64_t keys);

// The best place that is not before `last`: scores [B,M], last int64 [B] → int64 [B]. Never decreases from step to
// step; stays where every place ahead scores −∞. Throws Error(data) naming both shapes, and for a last place beyond the
// scores. Raffel et al., Online and Linear-Time Attention by Enforcing Monotonic
// Alignments, 2017, https://arxiv.org/abs/1704.00784
at::Tensor monotonic_step(const at::Tensor& scores, const at::Tensor& last);

}  // namespace fovea
