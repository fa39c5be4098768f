#include "fovea/modules/attention/formula_gradients.h"

#include <torch/csrc/autograd/autograd.h>

namespace fovea {

std::vector<at::Tensor> formula_gradients(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& grads,
                                          const std::vector<at::Tensor>& inputs, size_t count) {
  std::vector<at::Tensor> wanted, all(count);
  std::vector<size_t> places;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined() || !inputs[i].requires_grad()) continue;
    wanted.push_back(inputs[i]);
    places.push_back(i);
  }
  const auto found = torch::autograd::grad(outputs, wanted, grads, /*retain_graph=*/true, /*create_graph=*/true,
                                           /*allow_unused=*/true);
  for (size_t i = 0; i < places.size(); ++i) all[places[i]] = found[i];
  return all;
}

}  // namespace fovea
