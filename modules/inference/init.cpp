#include "fovea/modules/inference/init.h"

#include <ATen/ATen.h>

#include <cmath>

namespace fovea {
namespace {

thread_local bool skip_init = false;

template <typename Fill>
at::Tensor made(at::IntArrayRef shape, Fill fill) {
  auto tensor = at::empty(shape, at::kFloat);
  if (!skip_init) fill(tensor);
  return tensor;
}

// Inputs that reach one output: the product of all dimensions but the first.
int64_t fan_in(at::IntArrayRef shape) {
  return shape[0] == 0 ? 1 : c10::multiply_integers(shape) / shape[0];
}

}  // namespace

SkipInit::SkipInit() : outer_(skip_init) {
  skip_init = true;
}
SkipInit::~SkipInit() {
  skip_init = outer_;
}
bool SkipInit::active() {
  return skip_init;
}

at::Tensor init_zeros(at::IntArrayRef shape) {
  return init_full(shape, 0.0);
}
at::Tensor init_ones(at::IntArrayRef shape) {
  return init_full(shape, 1.0);
}

at::Tensor init_full(at::IntArrayRef shape, double value) {
  return made(shape, [&](at::Tensor& t) { t.fill_(value); });
}

at::Tensor init_truncated_normal(at::IntArrayRef shape, double std) {
  // Inverse of the normal distribution on uniform samples between Φ(−2/std) and Φ(2/std).
  return made(shape, [&](at::Tensor& t) {
    const double edge = std::erf(2.0 / std / std::sqrt(2.0));
    t.uniform_(-edge, edge).erfinv_().mul_(std * std::sqrt(2.0)).clamp_(-2.0, 2.0);
  });
}

at::Tensor init_kaiming_uniform(at::IntArrayRef shape) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in(shape)));
  return made(shape, [&](at::Tensor& t) { t.uniform_(-bound, bound); });
}

at::Tensor init_kaiming_fan_out(at::IntArrayRef shape) {
  const auto receptive_field = static_cast<double>(c10::multiply_integers(shape.slice(2)));
  const double std = std::sqrt(2.0 / (static_cast<double>(shape[0]) * receptive_field));
  return made(shape, [&](at::Tensor& t) { t.normal_(0.0, std); });
}

at::Tensor init_fan_in_uniform(at::IntArrayRef shape, int64_t fan_in) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  return made(shape, [&](at::Tensor& t) { t.uniform_(-bound, bound); });
}

}  // namespace fovea
