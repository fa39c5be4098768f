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
  bool int8 = false;       // weights of 8 bits, as quantise() leaves them
};

// Keys `weight` [out,in] and `bias` [out]; with int8, buffers `weight` int8 and `weight_scale` [out] take its place.
class LinearImpl : public Module<LinearImpl> {
 public:
  explicit LinearImpl(const LinearOptions& options);
  void reset() override;
  void pack() override;
  void unpack() override { packed_.drop(); }

  // x […,in] → activation(x·Wᵀ + b) […,out]; the activation is fused when packed. A few rows are multiplied with the
  // weights as they lie even then.
  at::Tensor forward(const at::Tensor& x, Activation activation = Activation::none);

  // Rounds each row of the weights to whole steps of largest|w|/127 (quantise_weights in prepare.h).
  void quantise();

  LinearOptions options;
  at::Tensor weight;
  at::Tensor weight_scale;  // undefined without int8
  at::Tensor bias;          // undefined without bias

 private:
  at::Tensor int8_product(const at::Tensor& x) const;

  PackedWeight packed_;
};
FOVEA_MODULE(Linear);

}  // namespace fovea
