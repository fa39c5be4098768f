#include "fovea/modules/spatial/non_local.h"

#include <cmath>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/channel/gate.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {
namespace {

// [B,C,h,w] → [B,1,h·w,C].
at::Tensor tokens(const at::Tensor& x) {
  return x.flatten(2).transpose(1, 2).unsqueeze(1);
}

}  // namespace

NonLocalImpl::NonLocalImpl(const NonLocalOptions& options) : options(options) {
  require(options.channels > 0 && options.reduction > 0, ErrorKind::usage,
          "NonLocal: channels {} and reduction {} must be positive", options.channels, options.reduction);
  reset();
}

void NonLocalImpl::reset() {
  const int64_t width =
      rounded_width(static_cast<double>(options.channels) / static_cast<double>(options.reduction), 8, 8);
  const auto product = [&](const char* name, int64_t in, int64_t out) {
    auto conv = register_module(name, Conv2d({.in_channels = in, .out_channels = out}));
    conv->weight.set_data(init_kaiming_fan_out(conv->weight.sizes()));
    conv->bias.set_data(init_zeros(conv->bias.sizes()));
    return conv;
  };
  t = product("t", options.channels, width);
  p = product("p", options.channels, width);
  g = product("g", options.channels, width);
  z = product("z", width, options.channels);
  norm = register_module("norm", BatchNorm2d({.channels = options.channels, .initial_weight = 0}));
}

at::Tensor NonLocalImpl::forward(const at::Tensor& x) {
  detail::check_input("NonLocal", x, options.channels, t->weight);
  const TokenGridScope scope({.height = x.size(2), .width = x.size(3)});
  const auto mixed = attention(tokens(t->forward(x)), tokens(p->forward(x)), tokens(g->forward(x)),
                               {.scale = options.scale ? 1 / std::sqrt(static_cast<double>(options.channels)) : 1.0,
                                .module = this});  // [B,1,N,r]
  const auto map = mixed.squeeze(1).transpose(1, 2).reshape({x.size(0), -1, x.size(2), x.size(3)});
  return conv_norm(z.ptr(), norm.ptr(), map) + x;
}

}  // namespace fovea
