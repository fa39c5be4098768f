#include "fovea/modules/channel/global_context.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

GlobalContextImpl::MlpImpl::MlpImpl(const GlobalContextOptions& options, bool starts_at_zero)
    : options(options), starts_at_zero(starts_at_zero) {
  reset();
}

void GlobalContextImpl::MlpImpl::reset() {
  const int64_t width = squeeze_width(options.channels, options.reduction, /*divisor=*/1);
  fc1 = register_module("fc1", Conv2d({.in_channels = options.channels, .out_channels = width}));
  norm = register_module("norm", LayerNorm({.features = width}));
  fc2 = register_module("fc2", Conv2d({.in_channels = width, .out_channels = options.channels}));
  if (starts_at_zero) fc2->weight.set_data(init_zeros(fc2->weight.sizes()));
}

at::Tensor GlobalContextImpl::MlpImpl::forward(const at::Tensor& context) {
  const auto hidden = at::linear(context, fc1->weight.flatten(1), fc1->bias);  // [B,r]
  return at::linear(at::relu(norm->forward(hidden)), fc2->weight.flatten(1), fc2->bias).unsqueeze(-1).unsqueeze(-1);
}

GlobalContextImpl::GlobalContextImpl(const GlobalContextOptions& options) : options(options) {
  require(options.channels > 0 && options.reduction > 0, ErrorKind::usage,
          "GlobalContext: channels {} and reduction {} must be positive", options.channels, options.reduction);
  require(options.scale || options.add, ErrorKind::usage, "GlobalContext: neither scale nor add is asked for");
  reset();
}

void GlobalContextImpl::reset() {
  conv_attn = nullptr;
  mlp_add = mlp_scale = nullptr;
  if (options.attend) {
    conv_attn = register_module("conv_attn", Conv2d({.in_channels = options.channels, .out_channels = 1}));
  }
  // The shift starts at its bias alone, as the paper closes its block at first.
  if (options.add) mlp_add = register_module("mlp_add", std::make_shared<MlpImpl>(options, true));
  if (options.scale) mlp_scale = register_module("mlp_scale", std::make_shared<MlpImpl>(options, false));
}

at::Tensor GlobalContextImpl::forward(const at::Tensor& x) {
  detail::check_input("GlobalContext", x, options.channels, (mlp_scale ? mlp_scale : mlp_add)->fc1->weight);
  at::Tensor context;  // [B,C]
  if (conv_attn) {
    const auto weights = at::softmax(conv_attn->forward(x).flatten(1), -1);  // [B,h·w]
    context = at::matmul(x.flatten(2), weights.unsqueeze(-1)).squeeze(-1);
    if (recording::wanted(this)) {
      const TokenGridScope scope({.height = x.size(2), .width = x.size(3)});
      recording::add(this, MapKind::tokens, weights.unsqueeze(1).unsqueeze(1));
    }
  } else {
    context = x.mean({2, 3});
  }
  auto y = x;
  if (mlp_scale) {
    y = detail::scaled(mlp_scale.get(), MapKind::channel, x, apply_gate(mlp_scale->forward(context), options.gate));
  }
  return mlp_add ? y + mlp_add->forward(context) : y;
}

}  // namespace fovea
