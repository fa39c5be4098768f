// Gradients that are differentiated again: a kernel's backward pass has none of its own, the readable formula does.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace fovea {

// Of Σ outputs·grads in each input, at its place in `count` results; undefined where an input needs none. The outputs
// are computed from the inputs with autograd on.
std::vector<at::Tensor> formula_gradients(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& grads,
                                          const std::vector<at::Tensor>& inputs, size_t count);

}  // namespace fovea
