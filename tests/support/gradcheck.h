// Gradients against central differences, in fp64.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace fovea::testing {

// Largest |analytic − (f(x+ε) − f(x−ε))/2ε| over every element of every leaf that f reads, over the largest difference
// quotient. The output is weighted by fixed numbers, so that no element of it hides behind another. Leaves are
// contiguous fp64 tensors that require a gradient.
inline double leaf_gradient_error(const std::function<at::Tensor()>& f, const std::vector<at::Tensor>& leaves,
                                  double epsilon = 1e-6) {
  const auto output = f();
  const auto weights = at::cos(at::arange(1, output.numel() + 1, at::kDouble)).view(output.sizes());
  (output * weights).sum().backward();
  double worst = 0, largest = 0;
  at::NoGradGuard no_grad;
  for (const auto& leaf : leaves) {
    const auto analytic = leaf.grad().defined() ? leaf.grad().contiguous() : at::zeros_like(leaf).contiguous();
    auto values = leaf.detach();
    TORCH_CHECK(values.is_contiguous() && values.scalar_type() == at::kDouble, "inputs must be contiguous fp64");
    for (int64_t i = 0; i < values.numel(); ++i) {
      double* element = values.data_ptr<double>() + i;
      const double kept = *element;
      const auto at_shift = [&](double shift) {
        *element = kept + shift;
        const double value = (f() * weights).sum().item<double>();
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

using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// The same of a function of these inputs.
inline double gradient_error(const Function& f, std::vector<at::Tensor> inputs, double epsilon = 1e-6) {
  for (auto& input : inputs) input = input.detach().clone().requires_grad_(true);
  return leaf_gradient_error([&] { return f(inputs); }, inputs, epsilon);
}

// The same of a layer, in its input and every parameter; the layer is cast to fp64.
template <typename Layer>
double module_gradient_error(Layer& layer, const at::Tensor& x, double epsilon = 1e-6) {
  layer.to(at::kDouble);
  std::vector<at::Tensor> leaves = layer.parameters();
  leaves.push_back(x.detach().clone().requires_grad_(true));
  return leaf_gradient_error([&] { return layer.forward(leaves.back()); }, leaves, epsilon);
}

}  // namespace fovea::testing
