// y = x·Wᵀ + b, with torch's names, and a packed form for evaluation.
#pragma once

#include "fovea/modules/inference/packed.h"
#include "fovea/modules/module.h"

namespace fovea {

enum class Activation {
  none,
  relu,
  gelu,        // x·Φ(x)
  gelu_tanh,   // its approximation by tanh
  silu,        // x·σ(x)
  quick_gelu,  // x·σ(1.702·x), OpenAI's CLIP
  hard_swish,  // x·clamp(x + 3, 0, 6)/6, MobileNetV3
};

at::Tensor activate(const at::Tensor& x, Activation activation);

struct LinearOptions {
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool bias = true;
  double initial_std = 0;  // > 0: weights start truncated normal, bias zero (transformers); 0: torch's uniform start
};

// Keys `weight` [out,in] and `bias` [out].
class LinearImpl : public Module<LinearImpl> {
 public:
  explicit LinearImpl(const LinearOptions& options);
  void reset() override;
  void pack() override;
  void unpack() override { packed_.drop(); }

  // x […,in] → activation(x·Wᵀ + b) […,out]; the activation is fused when packed.
  at::Tensor forward(const at::Tensor& x, Activation activation = Activation::none);

  LinearOptions options;
  at::Tensor weight;
  at::Tensor bias;  // undefined without bias

 private:
  PackedWeight packed_;
};
FOVEA_MODULE(Linear);

}  // namespace fovea
