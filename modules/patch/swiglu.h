// The gated perceptron of DINOv2's largest network.
#pragma once

#include "fovea/modules/inference/linear.h"

namespace fovea {

struct SwiGluOptions {
  int64_t features = 0;  // width of input and output
  int64_t hidden = 0;    // width between, of the gate and of what it scales
  double dropout = 0;    // after the gate and after fc2
};

// fc2(silu(a)·b), [a|b] = fc1(x), silu(a) = a·σ(a). Keys `fc1.*` [2·hidden,features], `fc2.*`.
// Shazeer, GLU Variants Improve Transformer, 2020, https://arxiv.org/abs/2002.05202
class SwiGluImpl : public Module<SwiGluImpl> {
 public:
  explicit SwiGluImpl(const SwiGluOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // […,features] → same

  SwiGluOptions options;
  Linear fc1{nullptr};
  Linear fc2{nullptr};
};
FOVEA_MODULE(SwiGlu);

}  // namespace fovea
