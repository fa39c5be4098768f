// What cases of the glue share: tensors in, tensors and gradients out, on the emulator or on a GPU.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "fovea/tests/kernels/cases.h"
#include "fovea/tests/simt/harness.h"

namespace fovea::testing {

using kernels::testing::expect;
using kernels::testing::shuffle_threads;

// Where the kernels are: the CPU under the emulator, else a GPU.
at::Device kernel_device();

inline constexpr at::ScalarType kGpuTypes[] = {at::kFloat, at::kBFloat16, at::kHalf};

// Draws of one case.
class Draws {
 public:
  explicit Draws(uint64_t seed) : random_(seed) { at::manual_seed(seed); }
  int64_t operator()(std::initializer_list<int64_t> from) { return from.begin()[random_() % from.size()]; }

 private:
  std::mt19937_64 random_;
};

inline at::Tensor on_device(const at::Tensor& t) {
  return t.defined() ? t.to(kernel_device()) : t;
}

// Outputs and gradients of f in these leaves (undefined ones stay so); outputs weighted by fixed numbers.
inline std::vector<at::Tensor> outputs_and_gradients(
    const std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>& f, std::vector<at::Tensor> leaves) {
  for (auto& leaf : leaves) {
    if (leaf.defined()) leaf = on_device(leaf).detach().requires_grad_();
  }
  auto results = f(leaves);
  auto loss = on_device(at::zeros({}, at::kDouble));
  for (auto& out : results) {
    const auto weights = on_device(at::cos(at::arange(out.numel(), at::kDouble)).view(out.sizes()));
    loss = loss + (out * weights.to(out.scalar_type())).sum().to(at::kDouble);
    out = out.detach();
  }
  loss.backward();
  for (const auto& leaf : leaves) {
    if (leaf.defined()) results.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
  }
  return results;
}

// Every result within twice (outputs) or three times (gradients) the error of the plain formula in the same type, or
// the floor of sums of `width` products.
inline void expect_close(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& plain,
                         const std::vector<at::Tensor>& exact, size_t outputs, int64_t width, const std::string& name) {
  for (size_t i = 0; i < exact.size(); ++i) {
    const int times = i < outputs ? 2 : 3;
    const double bound = std::max(times * largest_error(plain[i], exact[i]),
                                  (times == 2 ? 1 : 3) * error_floor(exact[i].to(got[i].scalar_type()), width));
    const double error = largest_error(got[i], exact[i]);
    expect(error <= bound, fmt::format("{}: result {}: error {} over {}", name, i, error, bound));
  }
}

}  // namespace fovea::testing
