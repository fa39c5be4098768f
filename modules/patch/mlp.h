// The two-layer perceptron of a transformer block.
#pragma once

#include "fovea/modules/inference/linear.h"

namespace fovea {

struct MlpOptions {
  int64_t features = 0;                      // width of input and output
  int64_t hidden = 0;                        // width between
  Activation activation = Activation::gelu;  // exact (erf) GELU in ViT and Swin
  double dropout = 0;                        // after the activation and after fc2
};

// fc2(activation(fc1(x))). Keys `fc1.*`, `fc2.*`.
// Vaswani et al., Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762
class MlpImpl : public Module<MlpImpl> {
 public:
  explicit MlpImpl(const MlpOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // […,features] → same

  MlpOptions options;
  Linear fc1{nullptr};
  Linear fc2{nullptr};
};
FOVEA_MODULE(Mlp);

}  // namespace fovea
