#include "fovea/modules/attention/hard.h"

#include "fovea/modules/at_least_float.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// −log of exponential noise: adding it to scores and taking the largest samples their softmax.
at::Tensor gumbel_noise(const at::Tensor& like) {
  return -at::empty_like(like).exponential_(1).log();
}

// Row choice[b][n] of values [B,M,e] → [B,N,e].
at::Tensor read_rows(const at::Tensor& values, const at::Tensor& choice) {
  return values.gather(1, choice.unsqueeze(-1).expand({-1, -1, values.size(2)}));
}

}  // namespace

HardAttentionImpl::HardAttentionImpl(const HardAttentionOptions& options) : options(options) {
  require(options.temperature > 0, ErrorKind::usage, "HardAttention: temperature {} must be positive",
          options.temperature);
  reset();
}

void HardAttentionImpl::reset() {
  score = register_module("score", ScoreFunction(options.score));
}

HardAttentionResult HardAttentionImpl::forward(const at::Tensor& query, const at::Tensor& keys,
                                               const at::Tensor& values, const at::Tensor& mask) {
  require(query.dim() == 3 && keys.dim() == 3 && values.dim() == 3 && keys.size(0) == query.size(0) &&
              values.size(0) == query.size(0) && values.size(1) == keys.size(1) && keys.size(1) > 0,
          ErrorKind::data, "HardAttention: expected query [B,N,q], keys [B,M,k], values [B,M,e], got {}, {}, {}",
          shape_text(query), shape_text(keys), shape_text(values));
  require(!mask.defined() || (mask.scalar_type() == at::kBool && mask.dim() == 2 && mask.size(0) == keys.size(0) &&
                              mask.size(1) == keys.size(1)),
          ErrorKind::data, "HardAttention: expected mask bool [B,M], got {} for keys {}", shape_text(mask),
          shape_text(keys));
  const auto allowed = mask.defined() ? mask.unsqueeze(1) : mask;  // [B,1,M]
  const auto scores = score->forward(query, hide_rows(keys, mask));
  HardAttentionResult result;
  result.weights = masked_softmax(scores, allowed);
  // A place of probability 0 adds nothing to the entropy and is never chosen, so that its logarithm may be anything.
  const auto logarithm = detail::at_least_float(result.weights).clamp_min(std::numeric_limits<float>::min()).log();
  result.entropy = -(result.weights * logarithm).sum(-1);

  const bool random = is_training() || options.inference == HardInference::sample;
  auto preference = logarithm.detach();
  const auto noise = random ? gumbel_noise(preference) : at::zeros_like(preference);
  preference = at::where(result.weights.gt(0), preference + noise, -std::numeric_limits<double>::infinity());
  result.choice = preference.argmax(-1);
  result.log_probability = logarithm.gather(-1, result.choice.unsqueeze(-1)).squeeze(-1);

  if (is_training() && options.estimator == HardEstimator::gumbel) {
    const auto soft = masked_softmax((logarithm + noise) / options.temperature, allowed);
    const auto hard = at::zeros_like(soft).scatter(-1, result.choice.unsqueeze(-1), 1.0);
    result.context = at::matmul((hard - soft.detach() + soft).to(values.scalar_type()), hide_rows(values, mask));
  } else {
    result.context = read_rows(values, result.choice);
  }
  if (mask.defined()) {
    result.context = at::where(mask.any(-1).view({-1, 1, 1}), result.context, at::zeros({}, result.context.options()));
  }
  if (recording::wanted(this)) recording::add(this, MapKind::tokens, result.weights.unsqueeze(1));
  return result;
}

void MovingBaseline::update(const at::Tensor& rewards) {
  value_ = (1 - rate_) * value_ + rate_ * rewards.mean().item<double>();
}

at::Tensor reinforce_loss(const HardAttentionResult& result, const at::Tensor& reward, double baseline,
                          double entropy_weight) {
  require(reward.dim() == 1 && reward.size(0) == result.log_probability.size(0), ErrorKind::data,
          "reinforce_loss: reward {} does not fit choices {}", shape_text(reward), shape_text(result.choice));
  const auto advantage = reward.detach() - baseline;
  return -(advantage * result.log_probability.sum(-1)).mean() - entropy_weight * result.entropy.mean();
}

at::Tensor forward_mask(const at::Tensor& last, int64_t keys) {
  return at::arange(keys, last.options()).ge(last.unsqueeze(-1));
}

at::Tensor monotonic_step(const at::Tensor& scores, const at::Tensor& last) {
  require(scores.dim() == 2 && last.dim() == 1 && last.size(0) == scores.size(0), ErrorKind::data,
          "monotonic_step: expected scores [B,M], last [B], got {}, {}", shape_text(scores), shape_text(last));
  const int64_t highest = last.numel() == 0 ? 0 : last.max().item<int64_t>();
  require(last.numel() == 0 || highest < scores.size(1), ErrorKind::data,
          "monotonic_step: place {} is none of scores {}", highest, shape_text(scores));
  const auto forward =
      scores.masked_fill(~forward_mask(last, scores.size(1)), -std::numeric_limits<double>::infinity());
  return at::maximum(forward.argmax(-1), last);  // where every place ahead is masked by −∞, it stays
}

}  // namespace fovea
