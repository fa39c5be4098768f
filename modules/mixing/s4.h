// Structured state spaces with diagonal matrices: one linear system a channel, run as a convolution or step by step.
#pragma once

#include "fovea/modules/inference/linear.h"

namespace fovea {

struct S4Options {
  int64_t width = 0;     // D, channels of a token
  int64_t state = 64;    // S, real numbers of a channel's state, even: S/2 complex ones and their conjugates
  double dt_min = 1e-3;  // step sizes start log-uniform between these
  double dt_max = 1e-1;
};

// The impulse response of each channel: K_l = 2·Re Σ_n C_n·(e^{ΔA_n} − 1)/A_n·e^{ΔA_n·l}, A_n = −e^{log_A_real} +
// i·A_imag, which start as −½ + iπn (S4D-Lin). Keys `C` [D,S/2,2] (real, imaginary), `log_dt` [D], `log_A_real` and
// `A_imag` [D,S/2].
class S4KernelImpl : public Module<S4KernelImpl> {
 public:
  explicit S4KernelImpl(const S4Options& options);
  void reset() override;

  // [D,length], by two matrices of √length powers each: S·length multiply-adds and no S×length tensor.
  at::Tensor forward(int64_t length);

  // What one step does: state ← decay·state + input·u, answer 2·Re Σ_n c_n·state_n. Complex, [D,S/2] each.
  struct Step {
    at::Tensor decay, input, c;
  };
  Step step() const;

  S4Options options;
  at::Tensor C, log_dt, log_A_real, A_imag;
};

// y = GLU(W·gelu(K ∗ u + D ⊙ u)), K ∗ u causal: x [B,N,D] → same, by a Fourier transform of 2N in float32 or float64,
// N·log N. step() gives the same token by token from a state. The recorder gets |K_{i−j}| (with D beside K_0), summed
// over the channels, by the share of token j (mixing_matrix.h). Keys `kernel.…`, `D` [D], `output_linear` [2D,D].
// Throws Error(usage) for numbers that do not go together, Error(data) naming the shapes. Gu et al., Efficiently
// Modeling Long Sequences with Structured State Spaces (S4), 2022, https://arxiv.org/abs/2111.00396; Gu et al., On the
// Parameterization and Initialization of Diagonal State Space Models (S4D), 2022, https://arxiv.org/abs/2206.11893
class S4Impl : public Module<S4Impl> {
 public:
  explicit S4Impl(const S4Options& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  // Before the first token: complex zeros [B,D,S/2].
  at::Tensor start(int64_t batch) const;
  // u [B,D] → y [B,D], moving the state on.
  at::Tensor step(const at::Tensor& u, at::Tensor& state);

  S4Options options;
  std::shared_ptr<S4KernelImpl> kernel;
  at::Tensor D;
  Linear output_linear = nullptr;

 private:
  at::Tensor mixed(const at::Tensor& y);
};
FOVEA_MODULE(S4);

}  // namespace fovea
