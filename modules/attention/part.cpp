#include "fovea/modules/attention/part.h"

#include <ATen/ATen.h>

#include <limits>

#include "fovea/modules/attention/softmax.h"

namespace fovea {
namespace {

constexpr double kNoKeys = -std::numeric_limits<double>::infinity();

at::ScalarType wide_type(const at::Tensor& t) {
  return t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Sums to subtract: 0 where there are no keys, so that −∞ − −∞ is never asked for.
at::Tensor finite(const at::Tensor& log_sum) {
  return log_sum.masked_fill(log_sum.eq(kNoKeys), 0);
}

// The problem in the type of the sums, each query head with keys and values of its own, those that the mask hides zero.
struct Widened {
  explicit Widened(const AttentionProblem& p) {
    const int64_t times = p.heads_per_key();
    const auto wide = [&](const at::Tensor& t) { return t.to(wide_type(t)); };
    const auto hidden = p.mask.defined() ? p.mask.expand({p.k.size(0), 1, 1, p.k.size(2)}).squeeze(2) : at::Tensor();
    q = wide(p.q);
    k = hide_rows(wide(p.k), hidden).repeat_interleave(times, 1);
    v = hide_rows(wide(p.v), hidden).repeat_interleave(times, 1);
    scores = at::matmul(q, k.transpose(-2, -1)) * p.scale;
    if (const auto allowed = full_mask(p); allowed.defined()) scores = scores.masked_fill(~allowed, kNoKeys);
  }

  // exp(score − log_sum): the weights where log_sum is that of all keys.
  at::Tensor weights(const at::Tensor& log_sum) const { return at::exp(scores - finite(log_sum).unsqueeze(-1)); }

  at::Tensor q, k, v;  // [B,H,·,·]
  at::Tensor scores;   // [B,H,N,M]
};

// [B,H,M,·] → [B,K,M,·]: the sum over the heads that share keys.
at::Tensor sum_of_sharers(const at::Tensor& t, int64_t times) {
  return times == 1 ? t : t.view({t.size(0), t.size(1) / times, times, t.size(2), t.size(3)}).sum(2);
}

}  // namespace

AttentionPart attention_part(const AttentionProblem& problem) {
  if (cpu_refuses(problem).empty()) return cpu_attention_part(problem);
  const Widened wide(problem);
  const auto log_sum = at::logsumexp(wide.scores, -1);
  return {at::matmul(wide.weights(log_sum), wide.v), log_sum};
}

AttentionPart empty_part(const AttentionProblem& problem) {
  const auto& q = problem.q;
  const auto options = q.options().dtype(wide_type(q)).requires_grad(false);
  return {at::zeros({q.size(0), q.size(1), q.size(2), problem.v.size(3)}, options),
          at::full({q.size(0), q.size(1), q.size(2)}, kNoKeys, options)};
}

AttentionPart joined(const AttentionPart& a, const AttentionPart& b) {
  const auto log_sum = at::logaddexp(a.log_sum, b.log_sum);
  const auto share = [&](const AttentionPart& one) { return at::exp(one.log_sum - finite(log_sum)).unsqueeze(-1); };
  return {a.output * share(a) + b.output * share(b), log_sum};
}

PartGradients attention_part_gradients(const AttentionProblem& problem, const AttentionPart& whole,
                                       const at::Tensor& grad) {
  if (cpu_refuses(problem).empty()) return cpu_attention_part_gradients(problem, whole, grad);
  const Widened wide(problem);
  const auto above = grad.to(wide.q.scalar_type()), weights = wide.weights(whole.log_sum);
  const auto mean = (above * whole.output).sum(-1, /*keepdim=*/true);
  const auto of_scores = weights * (at::matmul(above, wide.v.transpose(-2, -1)) - mean) * problem.scale;
  const int64_t times = problem.heads_per_key();
  return {.q = at::matmul(of_scores, wide.k),
          .k = sum_of_sharers(at::matmul(of_scores.transpose(-2, -1), wide.q), times),
          .v = sum_of_sharers(at::matmul(weights.transpose(-2, -1), above), times)};
}

}  // namespace fovea
