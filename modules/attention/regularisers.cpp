#include "fovea/modules/attention/regularisers.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

void check(const char* function, const at::Tensor& weights) {
  require(weights.defined() && weights.dim() == 4 && weights.numel() > 0, ErrorKind::data,
          "{}: expected weights [B,H,N,M], got {}", function, shape_text(weights));
}

// Places 0…n−1 in the type of `like`.
at::Tensor places(int64_t n, const at::Tensor& like) {
  return at::arange(n, like.options().requires_grad(false));
}

}  // namespace

at::Tensor locality_penalty(const at::Tensor& weights, double width) {
  check("locality_penalty", weights);
  require(width > 0, ErrorKind::usage, "locality_penalty: width {} must be positive", width);
  const int64_t N = weights.size(2), M = weights.size(3);
  const auto away =
      places(N, weights).unsqueeze(1) / static_cast<double>(N) - places(M, weights) / static_cast<double>(M);
  const auto price = 1 - at::exp(-away.square() / (2 * width * width));  // [N,M]
  return (weights * price).sum({2, 3}).mean() / static_cast<double>(N);
}

at::Tensor monotonic_penalty(const at::Tensor& weights) {
  check("monotonic_penalty", weights);
  const auto mean = (weights * places(weights.size(3), weights)).sum(-1);  // [B,H,N]
  const auto back = at::relu(-mean.diff(1, -1));
  return back.sum(-1).mean() / static_cast<double>(weights.size(3));
}

at::Tensor guided_loss(const at::Tensor& weights, const at::Tensor& target) {
  check("guided_loss", weights);
  require(target.defined() && target.sizes() == weights.sizes(), ErrorKind::data,
          "guided_loss: target {} has another shape than weights {}", shape_text(target), shape_text(weights));
  return (weights - target).square().sum({2, 3}).mean();
}

at::Tensor entropy_penalty(const at::Tensor& weights) {
  check("entropy_penalty", weights);
  return -at::special_xlogy(weights, weights).sum(-1).mean();
}

at::Tensor head_diversity_penalty(const at::Tensor& weights) {
  check("head_diversity_penalty", weights);
  const auto rows = weights.transpose(1, 2);  // [B,N,H,M]
  const auto overlap = at::matmul(rows, rows.transpose(2, 3)) - at::eye(weights.size(1), weights.options());
  return overlap.square().sum({2, 3}).mean();
}

}  // namespace fovea
