// Mamba: a state space whose step size, input and output depend on the token, run by a parallel scan.
#pragma once

#include "fovea/modules/inference/linear.h"
#include "fovea/modules/mixing/causal_conv.h"

namespace fovea {

struct SelectiveScanInputs {
  at::Tensor x;      // [B,L,E]
  at::Tensor delta;  // [B,L,E], step sizes, positive
  at::Tensor a;      // [E,S], negative
  at::Tensor b;      // [B,L,S]
  at::Tensor c;      // [B,L,S]
};

struct SelectiveScanResult {
  at::Tensor y;      // [B,L,E]
  at::Tensor state;  // [B,E,S] behind the last token
};

// h_t = e^{Δ_t·A} ⊙ h_{t−1} + Δ_t·x_t·B_tᵀ, y_t = h_t·C_t, from h = `state` [B,E,S] (undefined: 0). All tokens at once
// (linear_scan), in float32 at least; holds L·E·S numbers. Throws Error(data) naming the shapes that disagree.
SelectiveScanResult selective_scan(const SelectiveScanInputs& in, const at::Tensor& state = {});

// The matrix that a selective scan applies to each channel of its input, y_i = Σ_{j ≤ i} M_ij·x_j: M_ij =
// Σ_s C_is·e^{A_s·(Δ_{j+1} + … + Δ_i)}·Δ_j·B_js, its hidden attention. [B,E,L,L], 0 above the diagonal; of x the shape
// alone is read. Throws as selective_scan does.
// Ali et al., The Hidden Attention of Mamba Models, 2024, https://arxiv.org/abs/2403.01590
at::Tensor selective_scan_matrix(const SelectiveScanInputs& in);

struct MambaOptions {
  int64_t width = 0;   // D of a token
  int64_t expand = 2;  // E/D of what is scanned
  int64_t state = 16;  // S
  int64_t kernel = 4;  // taps of the convolution in front of the scan
  int64_t rank = 0;    // of the step sizes' product; 0: ⌈D/16⌉
  double dt_min = 1e-3;
  double dt_max = 1e-1;  // step sizes start log-uniform between these
};

// What a sequence that goes on needs of the tokens before.
struct MambaState {
  at::Tensor inputs;  // [B,kernel − 1,E], of the convolution
  at::Tensor scan;    // [B,E,S], float32 at least
};

// [u,z] = W_in·x; u = silu(causal depthwise convolution of u); [δ,B,C] = W_x·u; Δ = softplus(W_Δ·δ + b); y =
// selective_scan + D ⊙ u; result W_out·(y ⊙ silu(z)). x [B,L,D] → same. With a state, x goes on where the last call
// ended: a sequence in pieces, or token by token, gives what it gives in one. The recorder gets |M_ij|, the matrix of
// the scan with D on its diagonal, summed over the channels, by the share of token j among those of the call
// (mixing_matrix.h); and at the path of `conv1d` the taps of the convolution.
//
// Keys are the authors': `in_proj.weight`, `conv1d.weight` [E,1,kernel], `conv1d.bias`, `x_proj.weight`,
// `dt_proj.weight`, `dt_proj.bias`, `A_log` [E,S], `D` [E], `out_proj.weight`. Throws Error(usage) for numbers that are
// not positive, Error(data) naming the shapes.
// Gu and Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, 2023, https://arxiv.org/abs/2312.00752
class MambaImpl : public Module<MambaImpl> {
 public:
  explicit MambaImpl(const MambaOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);
  at::Tensor forward(const at::Tensor& x, MambaState& state);

  MambaState start(int64_t batch) const;  // before the first token

  MambaOptions options;  // with the zero resolved
  Linear in_proj = nullptr, x_proj = nullptr, dt_proj = nullptr, out_proj = nullptr;
  CausalConv1d conv1d = nullptr;
  at::Tensor A_log, D;

 private:
  int64_t inner() const { return options.expand * options.width; }
};
FOVEA_MODULE(Mamba);

}  // namespace fovea
