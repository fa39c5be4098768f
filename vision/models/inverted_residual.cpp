#include "fovea/vision/models/inverted_residual.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

struct Named {
  const char* key;
  Conv2dOptions conv;
};

std::vector<Named> convolutions(const InvertedResidualOptions& o) {
  const auto depthwise = [&](int64_t channels) {
    return square_conv(channels, channels, o.kernel, o.stride, channels);
  };
  switch (o.kind) {
    case InvertedBlock::inverted:
      return {{"conv_pw", square_conv(o.in_channels, o.inner_channels, 1)},
              {"conv_dw", depthwise(o.inner_channels)},
              {"conv_pwl", square_conv(o.inner_channels, o.out_channels, 1)}};
    case InvertedBlock::separable:
      return {{"conv_dw", depthwise(o.in_channels)}, {"conv_pw", square_conv(o.in_channels, o.out_channels, 1)}};
    case InvertedBlock::plain:
      break;
  }
  return {{"conv", square_conv(o.in_channels, o.out_channels, o.kernel, o.stride)}};
}

}  // namespace

InvertedResidualImpl::InvertedResidualImpl(const InvertedResidualOptions& options) : options(options) {
  require(options.squeeze >= 0 && (options.squeeze == 0 || options.kind != InvertedBlock::plain), ErrorKind::usage,
          "InvertedResidual: squeeze {} is negative, or of a plain convolution", options.squeeze);
  reset();
}

void InvertedResidualImpl::reset() {
  steps.clear();
  for (const auto& [key, conv] : convolutions(options)) {
    steps.push_back(
        make_conv_step({.conv = conv, .norm = {.eps = options.norm_eps}, .same_padding = options.same_padding}));
    register_module(key, steps.back().conv);
    register_module(fmt::format("bn{}", steps.size()), steps.back().bn);
  }
  se = nullptr;
  if (options.squeeze > 0) {
    se = register_module("se", SqueezeExcite({.channels = steps.back().conv->options.in_channels,
                                              .squeeze = options.squeeze,
                                              .gate = options.gate,
                                              .activation = options.squeeze_activation,
                                              .keys = {"conv_reduce", "conv_expand"}}));
  }
}

void InvertedResidualImpl::pack() {
  for (auto& step : steps) step.pack();
}

bool InvertedResidualImpl::has_shortcut() const {
  return options.kind != InvertedBlock::plain && options.stride == 1 && options.in_channels == options.out_channels;
}

at::Tensor InvertedResidualImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (size_t i = 0; i + 1 < steps.size(); ++i) y = steps[i].run(y, options.activation);
  if (se) y = se->forward(y);
  const auto last = options.kind == InvertedBlock::plain ? options.activation : Activation::none;
  return steps.back().run(y, last, has_shortcut() ? x : at::Tensor());
}

}  // namespace fovea
