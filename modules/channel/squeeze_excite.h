// Squeeze-and-excitation: every channel is scaled by a gate that is computed from the means of all channels.
#pragma once

#include <array>
#include <string>

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/module.h"

namespace fovea {

struct SqueezeExciteArgs {
  SqueezeMlp mlp;
  Gate gate = Gate::sigmoid;
  const torch::nn::Module* module = nullptr;  // the calling layer, so that a recorder can name its map
  std::string backend;                        // run this row of the table or throw; empty: the first that accepts
};

// x·gate(W2·act(W1·mean(x) + b1) + b2), the mean over pixels, the gate [B,C] over channels; act is ReLU in the paper.
//
// x [B,C,h,w] → same shape and memory format.
// Throws Error(data) naming both shapes when a weight does not fit x.
// Hu et al., Squeeze-and-Excitation Networks, 2018, https://arxiv.org/abs/1709.01507
at::Tensor squeeze_excite(const at::Tensor& x, const SqueezeExciteArgs& args);

// One line a backend: its name, and either "runs" (for the first that accepts), "could run" or why it refuses.
std::string explain_squeeze_excite(const at::Tensor& x, const SqueezeExciteArgs& args);

struct SqueezeExciteOptions {
  int64_t channels = 0;
  int64_t reduction = 16;  // channels of x for each squeezed one
  int64_t divisor = 8;     // the squeezed width is rounded to a multiple of this, and at least this
  int64_t squeeze = 0;     // the squeezed width itself (torchvision's squeeze_channels); 0: from reduction
  bool bias = true;        // of both fully connected layers
  Gate gate = Gate::sigmoid;
  Activation activation = Activation::relu;          // between the two layers
  std::array<const char*, 2> keys = {"fc1", "fc2"};  // EfficientNet's are conv_reduce and conv_expand
};

// Keys `fc1.weight` [r,C,1,1], `fc1.bias`, `fc2.weight` [C,r,1,1], `fc2.bias` (timm's SEModule, torchvision's
// SqueezeExcitation). Throws Error(usage) for a width that is not positive.
class SqueezeExciteImpl : public Module<SqueezeExciteImpl>, public ConstantGate {
 public:
  explicit SqueezeExciteImpl(const SqueezeExciteOptions& options);
  void reset() override;
  double make_constant() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → same

  SqueezeExciteOptions options;
  Conv2d fc1 = nullptr;
  Conv2d fc2 = nullptr;
};
FOVEA_MODULE(SqueezeExcite);

}  // namespace fovea
