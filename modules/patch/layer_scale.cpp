#include "fovea/modules/patch/layer_scale.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

LayerScaleImpl::LayerScaleImpl(const LayerScaleOptions& options) : options(options) {
  require(options.dim > 0, ErrorKind::usage, "LayerScale: dim {} must be positive", options.dim);
  reset();
}

void LayerScaleImpl::reset() {
  gamma = register_parameter("gamma", init_full({options.dim}, options.initial));
}

at::Tensor LayerScaleImpl::forward(const at::Tensor& x) {
  return x * gamma;
}

}  // namespace fovea
