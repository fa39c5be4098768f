// What the glue of every CPU kernel shares: LibTorch's threads, types and tensors as the kernels see them.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "fovea/modules/kernels/cpu/attention.h"

namespace fovea::cpu {

kernels::CpuRuntime runtime();

// Why no kernel takes this tensor: another device, type or chip; empty where they do.
std::string refuses(const at::Tensor& t);

// Of a tensor that refuses() accepts.
kernels::Number number(const at::Tensor& t);

// float64 for float64, else float32: the type of sums.
at::ScalarType sum_type(const at::Tensor& t);

// t itself where it is undefined or the values of its last dimension lie next to each other, else a copy.
at::Tensor with_adjacent_columns(const at::Tensor& t);

// [B,H,N,·] with adjacent columns; a dimension of one broadcasts. The tensor must outlive the view.
kernels::View view(const at::Tensor& t);
kernels::MutableView mutable_view(at::Tensor& t);

}  // namespace fovea::cpu
