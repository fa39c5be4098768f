// Tensors as the kernels of every device see them.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/modules/kernels/attention_call.h"

namespace fovea::kernel_tensors {

// Of float32, float64, bfloat16 or float16.
kernels::Number number(const at::Tensor& t);

// float64 for float64, else float32: the type of sums.
at::ScalarType sum_type(const at::Tensor& t);

// t itself where it is undefined or the values of its last dimension lie next to each other, else a copy.
at::Tensor with_adjacent_columns(const at::Tensor& t);

// t itself where it is undefined or of that type: even a conversion that does nothing passes LibTorch's dispatcher.
at::Tensor in_type(const at::Tensor& t, at::ScalarType type);

// [B,H,N,·] with adjacent columns; a dimension of one broadcasts. The tensor must outlive the view.
kernels::View view(const at::Tensor& t);
kernels::MutableView mutable_view(at::Tensor& t);

// Null for an undefined tensor.
const void* data_of(const at::Tensor& t);

// Which weights a call leaves out follows from this number, drawn from LibTorch's generator of the CPU, on every
// device, so that no GPU is waited for. Without dropout: 0, and nothing is drawn.
uint64_t dropout_seed(double dropout);

// An absent option for an undefined tensor: what torch::autograd::Function takes.
std::optional<at::Tensor> optional(const at::Tensor& t);

}  // namespace fovea::kernel_tensors
