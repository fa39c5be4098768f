// Attention as the formula says it: scores, mask, softmax, mean of the values. Every other backend is checked against
// this, and this against a plain loop in fp64.
#include <ATen/ATen.h>

#include <limits>

#include "fovea/modules/attention/problem.h"

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
  if (!allowed.defined()) return {at::softmax(scores, -1), allowed};
  // A row without any allowed key would be softmax(−∞, …) = NaN: it is filled with 0 before and again after.
  const auto fill = at::where(allowed.any(-1, /*keepdim=*/true), kMinusInfinity, 0.0).to(scores.scalar_type());
  scores = at::where(allowed, scores, fill);
  return {at::softmax(scores, -1).masked_fill(~allowed, 0), allowed};
}

AttentionResult mean_of_values(const Weighted& weighted, const at::Tensor& v, double dropout) {
  const auto weights = dropout > 0 ? at::dropout(weighted.weights, dropout, /*train=*/true) : weighted.weights;
  return {at::matmul(weights, v), weighted.weights};
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
    const auto weighted = softmax_scores(one, at::where(mine, k, zero));
    const auto result = mean_of_values(weighted, at::where(mine, v, zero), problem.dropout);
    outputs.push_back(result.output);
    weights.push_back(result.weights);
  }
  return {at::cat(outputs, 2), at::cat(weights, 2)};
}

}  // namespace

AttentionResult reference_attention(const AttentionProblem& problem) {
  const auto k = repeat_heads(problem.k, problem.heads_per_key());
  const auto v = repeat_heads(problem.v, problem.heads_per_key());
  const auto weighted = softmax_scores(problem, k);
  if (weighted.allowed.defined() && problem.q.size(2) > 0 &&
      !(at::isfinite(k).all().item<bool>() && at::isfinite(v).all().item<bool>())) {
    return row_by_row(problem, k, v, weighted.allowed);
  }
  return mean_of_values(weighted, v, problem.dropout);
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
