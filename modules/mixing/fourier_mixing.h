// FNet: tokens mixed by a Fourier transform, without any parameters.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace fovea {

struct FourierMixingArgs {
  const torch::nn::Module* module = nullptr;  // the calling layer, so that a recorder can name its maps
};

// Re(F_tokens(F_columns(x))): y_ab = Σ_jk x_jk·cos(2π(aj/N + bk/D)). x [B,N,D] → same, N·D·log(N·D) operations. The
// transform runs in float32 where x is narrower. The recorder gets the mean of |cos 2π(aj/N + bk/D)| over all columns
// b and k, by the share of token j (mixing_matrix.h). Throws Error(data) for another shape or type.
// Lee-Thorp et al., FNet: Mixing Tokens with Fourier Transforms, 2022, https://arxiv.org/abs/2105.03824
at::Tensor fourier_mixing(const at::Tensor& x, const FourierMixingArgs& args = {});

}  // namespace fovea
