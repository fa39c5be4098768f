#include "fovea/docs/template/channel_gain.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

ChannelGainImpl::ChannelGainImpl(const ChannelGainOptions& options) : options(options) {
  require(options.channels > 0, ErrorKind::usage, "ChannelGain: channels {} must be positive", options.channels);
  reset();
}

void ChannelGainImpl::reset() {
  weight = register_parameter("weight", init_full({options.channels}, options.initial));
}

at::Tensor ChannelGainImpl::forward(const at::Tensor& x) {
  detail::check_input("ChannelGain", x, options.channels, weight);
  return detail::scaled(this, MapKind::channel, x,
                        at::sigmoid(weight).expand({x.size(0), -1}).unsqueeze(2).unsqueeze(3));
}

}  // namespace fovea
