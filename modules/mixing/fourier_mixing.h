// FNet: tokens mixed by a Fourier transform, without any parameters.
#pragma once

#include <ATen/core/Tensor.h>

namespace fovea {

// Re(F_tokens(F_columns(x))): y_ab = Σ_jk x_jk·cos(2π(aj/N + bk/D)). x [B,N,D] → same, N·D·log(N·D) operations. The
// transform runs in float32 where x is narrower. Throws Error(data) for another shape or type.
// Lee-Thorp et al., FNet: Mixing Tokens with Fourier Transforms, 2022, https://arxiv.org/abs/2105.03824
at::Tensor fourier_mixing(const at::Tensor& x);

}  // namespace fovea
