// Effective squeeze-and-excitation: one fully connected layer, so that no channel is lost in a squeeze.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/conv2d.h"

namespace fovea {

struct EffectiveSqueezeExciteOptions {
  int64_t channels = 0;
  Gate gate = Gate::hard_sigmoid;
};

// x·gate(W·mean(x) + b), the mean over pixels. [B,C,h,w] → same.
//
// Keys `fc.weight` [C,C,1,1], `fc.bias` (timm's EffectiveSEModule). Throws Error(usage) for a width that is not
// positive, Error(data) naming the shape of x.
// Lee and Park, CenterMask, 2020, https://arxiv.org/abs/1911.06667
class EffectiveSqueezeExciteImpl : public Module<EffectiveSqueezeExciteImpl> {
 public:
  explicit EffectiveSqueezeExciteImpl(const EffectiveSqueezeExciteOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  EffectiveSqueezeExciteOptions options;
  Conv2d fc = nullptr;
};
FOVEA_MODULE(EffectiveSqueezeExcite);

}  // namespace fovea
