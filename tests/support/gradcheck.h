// Gradients against central differences, in fp64.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace fovea::testing {

using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// Largest |analytic − (f(x+ε) − f(x−ε))/2ε| over every element of every input, over the largest difference quotient.
// The output is weighted by fixed numbers, so that no element of it hides behind another. Inputs are fp64.
inline double gradient_error(const Function& f, std::vector<at::Tensor> inputs, double epsilon = 1e-6) {
  for (auto& input : inputs) input = input.detach().clone().requires_grad_(true);
  const auto output = f(inputs);
  const auto weights = at::cos(at::arange(1, output.numel() + 1, at::kDouble)).view(output.sizes());
  (output * weights).sum().backward();
  double worst = 0, largest = 0;
  at::NoGradGuard no_grad;
  for (auto& input : inputs) {
    const auto analytic = input.grad().defined() ? input.grad().contiguous() : at::zeros_like(input).contiguous();
    auto values = input.detach();
    TORCH_CHECK(values.is_contiguous() && values.scalar_type() == at::kDouble, "inputs must be contiguous fp64");
    for (int64_t i = 0; i < values.numel(); ++i) {
      double* element = values.data_ptr<double>() + i;
      const double kept = *element;
      const auto at_shift = [&](double shift) {
        *element = kept + shift;
        const double value = (f(inputs) * weights).sum().item<double>();
        *element = kept;
        return value;
      };
      const double quotient = (at_shift(epsilon) - at_shift(-epsilon)) / (2 * epsilon);
      worst = std::max(worst, std::abs(quotient - analytic.data_ptr<double>()[i]));
      largest = std::max(largest, std::abs(quotient));
    }
  }
  return worst / std::max(largest, 1e-30);
}

}  // namespace fovea::testing
