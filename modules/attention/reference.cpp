// Attention as the formula says it: scores, mask, softmax, mean of the values. Every other backend is checked against
// this, and this against a plain loop in fp64.
#include <ATen/ATen.h>

#include <limits>

#include "fovea/modules/attention/masks.h"
#include "fovea/modules/attention/problem.h"
#include "fovea/modules/attention/softmax.h"

namespace fovea {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

struct Weighted {
  at::Tensor weights;  // [B,H,N,M]
  at::Tensor allowed;  // bool that broadcasts to it, or undefined
};

at::Tensor repeat_heads(const at::Tensor& t, int64_t times) {
  return times == 1 ? t : t.repeat_interleave(times, 1);
}

// softmax(q·kᵀ·scale + bias) over the allowed keys; zeros where none is. `k` already has q's heads.
Weighted softmax_scores(const AttentionProblem& problem, const at::Tensor& k) {
  auto scores = at::matmul(problem.q, k.transpose(-2, -1)) * problem.scale;
  auto allowed = full_mask(problem);
  if (problem.bias.defined()) {
    const auto masking = problem.bias.eq(kMinusInfinity);
    if (masking.any().item<bool>()) {
      allowed = allowed.defined() ? allowed.logical_and(~masking) : ~masking;
      scores = scores + problem.bias.masked_fill(masking, 0);
    } else {
      scores = scores + problem.bias;
    }
  }
  return {masked_softmax(scores, allowed), allowed};
}

// The probabilities as training sees them.
at::Tensor dropped(const at::Tensor& weights, const AttentionProblem& problem) {
  if (problem.factors.defined()) return weights * problem.factors;
  if (problem.dropout == 0) return weights;
  const auto thinned = at::dropout(weights, problem.dropout, /*train=*/true);
  if (problem.dropout_mode == DropoutMode::scale) return thinned;
  const auto sum = thinned.sum(-1, /*keepdim=*/true);
  return thinned / at::where(sum.gt(0), sum, 1.0);  // a row of which nothing is left stays zero
}

AttentionResult mean_of_values(const Weighted& weighted, const at::Tensor& v, const AttentionProblem& problem) {
  return {at::matmul(dropped(weighted.weights, problem), v), weighted.weights};
}

// With NaN or infinity in k or v, 0·NaN would spread: each query gets keys and values in which those it may not see
// are zero, so that neither its output nor any gradient meets them.
AttentionResult row_by_row(const AttentionProblem& problem, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& allowed) {
  const auto everywhere = allowed.expand({problem.q.size(0), problem.q.size(1), problem.q.size(2), k.size(2)});
  std::vector<at::Tensor> outputs;
  std::vector<at::Tensor> weights;
  for (int64_t row = 0; row < problem.q.size(2); ++row) {
    const auto mine = everywhere.select(2, row).unsqueeze(-1);  // [B,H,M,1]
    const auto zero = at::zeros({}, k.options());
    AttentionProblem one = select_queries(problem, {row});
    one.mask = everywhere.narrow(2, row, 1);
    if (problem.factors.defined()) one.factors = problem.factors.narrow(2, row, 1);
    const auto weighted = softmax_scores(one, at::where(mine, k, zero));
    const auto result = mean_of_values(weighted, at::where(mine, v, zero), one);
    outputs.push_back(result.output);
    weights.push_back(result.weights);
  }
  return {at::cat(outputs, 2), at::cat(weights, 2)};
}

}  // namespace

AttentionResult reference_attention(const AttentionProblem& given) {
  AttentionProblem problem = given;
  if (problem.dropout > 0 && problem.dropout_mode == DropoutMode::keys) {
    const auto draws = at::rand({problem.k.size(0), 1, 1, problem.k.size(2)}, problem.k.options().requires_grad(false));
    problem.mask = combine_masks(problem.mask, draws.ge(problem.dropout));
    problem.dropout = 0;
  }
  const auto k = repeat_heads(problem.k, problem.heads_per_key());
  const auto v = repeat_heads(problem.v, problem.heads_per_key());
  const auto weighted = softmax_scores(problem, k);
  if (weighted.allowed.defined() && problem.q.size(2) > 0 &&
      !(at::isfinite(k).all().item<bool>() && at::isfinite(v).all().item<bool>())) {
    return row_by_row(problem, k, v, weighted.allowed);
  }
  return mean_of_values(weighted, v, problem);
}

at::Tensor attention_weights(const AttentionProblem& problem) {
  AttentionProblem wide = problem;
  if (problem.q.scalar_type() != at::kDouble) {
    wide.q = problem.q.to(at::kFloat);
    wide.k = problem.k.to(at::kFloat);
    if (problem.bias.defined()) wide.bias = problem.bias.to(at::kFloat);
  }
  return softmax_scores(wide, repeat_heads(wide.k, problem.heads_per_key())).weights;
}

}  // namespace fovea
