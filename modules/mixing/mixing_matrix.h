// What layers without scores show to a recorder: the matrix by which their input's tokens enter their output's.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <vector>

namespace fovea::detail {

// Of y_i = Σ_j M_ij·x_j, x [B,N,C] and y [B,N,E]: for each pair of tokens an E×C matrix.
struct MixingMatrix {
  at::Tensor size;  // [B,N,N] or [1,N,N], the sum of |M_ij| over its E×C numbers
  // d(loss)/dy [B,N,E] → [B,N,N]: (d(loss)/dy_i)·M_ij·x_j, what the pair brings to the loss.
  std::function<at::Tensor(const at::Tensor&)> worth;
};

// Where a recorder wants maps of `module`: hands it size_ij/Σ_j size_ij as [B,1,n,N], the rows that it keeps. Where it
// wants gradients, backward through y fills in worth/weights, so that weights ⊙ gradient is what a pair brings to the
// loss, as it is in attention.
void record_mixing(const torch::nn::Module* module, const at::Tensor& y, const std::function<MixingMatrix()>& matrix);

// A causal convolution: M_ij depends on i − j alone.
struct MixingTaps {
  std::vector<int64_t> distances;            // i − j of each tap, not negative
  at::Tensor size;                           // [taps], the sum of |M|
  std::function<at::Tensor(int64_t)> enter;  // tap → M·x_j of every token j, [B,N,E]
};
MixingMatrix matrix_of(const MixingTaps& taps, int64_t tokens);

}  // namespace fovea::detail
