// A linear recurrence over all steps at once.
#pragma once

#include <ATen/core/Tensor.h>

namespace fovea {

// h_t = a_t ⊙ h_{t−1} + b_t with h_{−1} = 0, along dimension 1. a and b [B,L,…] of one shape → h of the same.
//
// Neighbouring steps are joined into one, (a₂a₁, a₂b₁ + b₂), until one is left, and taken apart again: 2·log₂ L rounds
// of operations on whole tensors, 3·L products in all. The gradient is the same recurrence backwards, and keeps a and h
// alone. Throws Error(data) for shapes and types that differ and for numbers that are not floating.
// Blelloch, Prefix Sums and Their Applications, 1990, https://www.cs.cmu.edu/~guyb/papers/Ble93.pdf
// Martin and Cundy, Parallelizing Linear Recurrent Neural Nets Over Sequence Length, 2018,
// https://arxiv.org/abs/1709.04057
at::Tensor linear_scan(const at::Tensor& a, const at::Tensor& b);

}  // namespace fovea
