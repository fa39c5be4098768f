#include "fovea/modules/channel/effective_se.h"

#include "fovea/modules/error.h"

namespace fovea {

EffectiveSqueezeExciteImpl::EffectiveSqueezeExciteImpl(const EffectiveSqueezeExciteOptions& options)
    : options(options) {
  require(options.channels > 0, ErrorKind::usage, "EffectiveSqueezeExcite: channels {} must be positive",
          options.channels);
  reset();
}

void EffectiveSqueezeExciteImpl::reset() {
  fc = register_module("fc", Conv2d({.in_channels = options.channels, .out_channels = options.channels}));
}

at::Tensor EffectiveSqueezeExciteImpl::forward(const at::Tensor& x) {
  detail::check_input("EffectiveSqueezeExcite", x, options.channels, fc->weight);
  const auto scores = fc->forward(x.mean({2, 3}, /*keepdim=*/true));  // [B,C,1,1]
  return detail::scaled(this, MapKind::channel, x, apply_gate(scores, options.gate));
}

}  // namespace fovea
