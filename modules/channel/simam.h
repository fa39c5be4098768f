// SimAM: a gate for each channel of each pixel from how far it stands out of its channel, without any parameter.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/module.h"

namespace fovea {

struct SimamOptions {
  double lambda = 1e-4;  // added to the variance
};

// y = x·σ((x − μ)²/(4·(v + λ)) + ½), with μ the mean of the channel over its n pixels and v = Σ(x − μ)²/(n − 1), which
// is 0 for a single pixel. [B,C,h,w] → same.
// Throws Error(usage) for a λ that is not positive, Error(data) naming the shape of x.
// Yang et al., SimAM, 2021, https://proceedings.mlr.press/v139/yang21o.html
class SimamImpl : public Module<SimamImpl> {
 public:
  explicit SimamImpl(const SimamOptions& options);
  void reset() override {}
  at::Tensor forward(const at::Tensor& x);

  SimamOptions options;
};
FOVEA_MODULE(Simam);

}  // namespace fovea
