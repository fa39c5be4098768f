// What cases of the glue share: tensors in, tensors and gradients out, on the emulator or on a GPU.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "fovea/tests/kernels/cases.h"
#include "fovea/tests/simt/harness.h"
#include "fovea/tests/support/tolerance.h"

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

// Leaves of a case, which are rounded to its own type, for a computation in another.
inline std::vector<at::Tensor> in_type(std::vector<at::Tensor> leaves, at::ScalarType type) {
  for (auto& leaf : leaves) {
    if (leaf.defined()) leaf = leaf.to(type);
  }
  return leaves;
}

// What every case of the glue has, beside what its constructor draws from a seed.
struct GlueCase {
  explicit GlueCase(uint64_t seed) : type(kGpuTypes[seed % 3]) {}
  at::ScalarType type;
  size_t outputs = 1;  // of its results, the others are gradients
  int64_t width = 64;  // products of a sum, for the floor of errors
  std::string name;
};

// Seeded cases on the rows `cuda` against the formula in float64; results(case, type of computation, backend).
template <typename Case, typename Results>
void expect_formula(uint64_t first_seed, uint64_t count, Results results) {
  for (uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
    shuffle_threads(seed);
    const Case c(seed);
    const auto exact = results(c, at::kDouble, "reference"), plain = results(c, c.type, "reference");
    expect_close(results(c, c.type, "cuda"), plain, exact, c.outputs, c.width, c.name);
  }
}

// f(leaf, backend), whose gradient is differentiated once more: `cuda` against the formula.
inline void expect_second_gradient(const std::function<at::Tensor(const at::Tensor&, const char*)>& f,
                                   const at::Tensor& at_point) {
  const auto second = [&](const char* backend) {
    const auto leaf = at_point.clone().requires_grad_();
    const auto first = torch::autograd::grad({f(leaf, backend).pow(3).sum()}, {leaf}, {}, /*retain_graph=*/true,
                                             /*create_graph=*/true)[0];
    return torch::autograd::grad({first.pow(2).sum()}, {leaf})[0];
  };
  expect(relative_error(second("cuda"), second("reference")) <= 1e-4, "another slope");
}

}  // namespace fovea::testing
