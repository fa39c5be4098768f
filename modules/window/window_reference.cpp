// Window attention as the formula says it, differentiable throughout: the oracle of every other backend, and the row
// that trains.
#include <ATen/ATen.h>

#include "fovea/modules/attention/heads.h"
#include "fovea/modules/window/partition.h"
#include "fovea/modules/window/window_problem.h"

namespace fovea {
namespace {

// softmax(q·kᵀ·scale + bias), [B·windows,H,W²,W²].
at::Tensor softmax_scores(const at::Tensor& q, const at::Tensor& k, const at::Tensor& bias, double scale) {
  auto scores = at::matmul(q * scale, k.transpose(-2, -1));
  if (bias.defined()) {
    const auto shape = scores.sizes();
    // [B·windows,…] → [B,windows,…], so that the bias of a window serves all images.
    auto by_image = scores.view({shape[0] / bias.size(0), bias.size(0), shape[1], shape[2], shape[3]});
    by_image.add_(bias);  // no backward formula reads the product itself
  }
  return at::softmax(scores, -1);
}

}  // namespace

WindowResult reference_window_attention(const WindowProblem& problem) {
  const auto windows = to_windows(problem.qkv, problem.layout, problem.pad_row);
  const auto parts = split_heads(windows, 3, problem.heads);
  const auto weights = softmax_scores(parts[0], parts[1], problem.complete_bias(problem.tables()), problem.scale);
  const auto kept = problem.factors.defined() ? weights * problem.factors
                    : problem.dropout > 0     ? at::dropout(weights, problem.dropout, /*train=*/true)
                                              : weights;
  const auto mixed = at::matmul(kept, parts[2]);  // [B·windows,H,W²,d]
  return {from_windows(join_heads(mixed), problem.layout), weights};
}

at::Tensor window_weights(const WindowProblem& problem) {
  const auto wide = [&](const at::Tensor& t) {
    return t.defined() && t.scalar_type() != at::kDouble ? t.to(at::kFloat) : t;
  };
  const auto parts =
      split_heads(to_windows(wide(problem.qkv), problem.layout, wide(problem.pad_row)), 3, problem.heads);
  return softmax_scores(parts[0], parts[1], wide(problem.complete_bias(problem.tables())), problem.scale);
}

}  // namespace fovea
