// LibTorch's registered oneDNN operators, which have no C++ header: looked up by schema, absent ones reported.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

#include "fovea/modules/inference/linear.h"

namespace fovea::onednn {

// True when this LibTorch has the operators and the tensor's type and device suit them (float32, or bfloat16 on a chip
// that computes it).
bool supports(const at::Tensor& weight);

struct ConvGeometry {
  int64_t stride = 1;
  std::array<int64_t, 2> padding = {0, 0};  // rows, columns
  int64_t groups = 1;
  int64_t dilation = 1;
};

// Weights in the blocked layout that oneDNN prefers for an input of these sizes: opaque, for the calls below alone,
// which rearrange them again where another layout is preferred for theirs.
at::Tensor reorder_linear(const at::Tensor& weight, at::IntArrayRef input);
at::Tensor reorder_conv(const at::Tensor& weight, const ConvGeometry& geometry, at::IntArrayRef input);

// activation(x·Wᵀ + b).
at::Tensor linear(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias, Activation activation);

// activation(conv(x)).
at::Tensor conv(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias, const ConvGeometry& geometry,
                Activation activation);

// activation(conv(x) + residual), written over `residual`, which the caller owns.
at::Tensor conv_add_(at::Tensor& residual, const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                     const ConvGeometry& geometry, Activation activation);

}  // namespace fovea::onednn
