#include "fovea/modules/mixing/scan.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor scanned(const at::Tensor& a, const at::Tensor& b) {
  const int64_t L = a.size(1);
  if (L <= 1) return b.clone();
  const auto first = [&](const at::Tensor& t) { return t.slice(1, 0, L - 1, 2); };  // of each pair of steps
  const auto second = [&](const at::Tensor& t) { return t.slice(1, 1, L, 2); };
  const auto behind = scanned(second(a) * first(a), at::addcmul(second(b), second(a), first(b)));  // h_1, h_3, …
  auto h = at::empty_like(b);
  second(h).copy_(behind);
  h.select(1, 0).copy_(b.select(1, 0));
  const int64_t rest = (L - 1) / 2;  // h_2, h_4, …
  const auto from_two = [&](const at::Tensor& t) { return t.slice(1, 2, L, 2); };
  from_two(h).copy_(at::addcmul(from_two(b), from_two(a), behind.narrow(1, 0, rest)));
  return h;
}

struct Scan : torch::autograd::Function<Scan> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& a, const at::Tensor& b) {
    auto h = scanned(a, b);
    context->save_for_backward({a, h});
    return h;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto &a = saved[0], &h = saved[1];
    const int64_t L = a.size(1);
    if (L == 0) return {at::zeros_like(a), grads[0]};
    const auto one = at::zeros_like(a.narrow(1, 0, 1));
    // g_t + a_{t+1} ⊙ (the same of t + 1), from the last step to the first.
    const auto next = at::cat({a.narrow(1, 1, L - 1), one}, 1);
    const auto grad_b = linear_scan(next.flip(1), grads[0].flip(1)).flip(1);
    return {grad_b * at::cat({one, h.narrow(1, 0, L - 1)}, 1), grad_b};
  }
};

}  // namespace

at::Tensor linear_scan(const at::Tensor& a, const at::Tensor& b) {
  require(a.dim() >= 2 && a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && a.is_floating_point(),
          ErrorKind::data, "linear_scan: expected a and b [B,L,…] of one shape and floating type, got {} {}, {} {}",
          c10::toString(a.scalar_type()), shape_text(a), c10::toString(b.scalar_type()), shape_text(b));
  return Scan::apply(a, b);
}

}  // namespace fovea
