#include "fovea/modules/inference/norm.h"

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

LayerNormImpl::LayerNormImpl(const LayerNormOptions& options) : options(options) {
  require(options.features > 0, ErrorKind::usage, "LayerNorm: features {} must be positive", options.features);
  reset();
}

void LayerNormImpl::reset() {
  weight = register_parameter("weight", init_ones({options.features}));
  bias = register_parameter("bias", init_zeros({options.features}));
}

at::Tensor LayerNormImpl::forward(const at::Tensor& x) {
  const auto y = at::layer_norm(x, {options.features}, weight, bias, options.eps);
  recording::output(this, y, /*channel_dim=*/-1);
  return y;
}

BatchNorm2dImpl::BatchNorm2dImpl(const BatchNorm2dOptions& options) : options(options) {
  require(options.channels > 0, ErrorKind::usage, "BatchNorm2d: channels {} must be positive", options.channels);
  reset();
}

void BatchNorm2dImpl::reset() {
  weight = register_parameter("weight", init_full({options.channels}, options.initial_weight));
  bias = register_parameter("bias", init_zeros({options.channels}));
  running_mean = register_buffer("running_mean", init_zeros({options.channels}));
  running_var = register_buffer("running_var", init_ones({options.channels}));
  num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

at::Tensor BatchNorm2dImpl::forward(const at::Tensor& x) {
  if (is_training()) num_batches_tracked += 1;
  return at::batch_norm(x, weight, bias, running_mean, running_var, is_training(), options.momentum, options.eps,
                        /*cudnn_enabled=*/true);
}

}  // namespace fovea
