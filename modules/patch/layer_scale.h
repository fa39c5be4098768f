// A learned factor a channel on a residual branch.
#pragma once

#include "fovea/modules/module.h"

namespace fovea {

struct LayerScaleOptions {
  int64_t dim = 0;
  double initial = 1e-5;  // first value of every factor
};

// x·γ over the last dimension. Key `gamma` [D].
// Touvron et al., Going deeper with Image Transformers, 2021, https://arxiv.org/abs/2103.17239
class LayerScaleImpl : public Module<LayerScaleImpl> {
 public:
  explicit LayerScaleImpl(const LayerScaleOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // […,D] → same

  LayerScaleOptions options;
  at::Tensor gamma;
};
FOVEA_MODULE(LayerScale);

}  // namespace fovea
