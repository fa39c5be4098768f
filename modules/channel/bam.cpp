#include "fovea/modules/channel/bam.h"

#include "fovea/modules/error.h"

namespace fovea {

BamImpl::BamImpl(const BamOptions& options) : options(options) {
  require(options.channels > 0 && options.reduction > 0 && options.dilation > 0, ErrorKind::usage,
          "Bam: channels {}, reduction {} and dilation {} must be positive", options.channels, options.reduction,
          options.dilation);
  reset();
}

void BamImpl::reset() {
  const int64_t width = std::max<int64_t>(1, options.channels / options.reduction);
  fc1 = register_module("fc1", Linear({.in_features = options.channels, .out_features = width}));
  bn = register_module("bn", BatchNorm2d({.channels = width}));
  fc2 = register_module("fc2", Linear({.in_features = width, .out_features = options.channels}));
  const Conv2dOptions dilated{.in_channels = width,
                              .out_channels = width,
                              .kernel = 3,
                              .padding = options.dilation,
                              .dilation = options.dilation};
  steps.clear();
  for (const auto& conv : {Conv2dOptions{.in_channels = options.channels, .out_channels = width}, dilated, dilated}) {
    const auto number = steps.size() + 1;
    steps.emplace_back(register_module(fmt::format("conv{}", number), Conv2d(conv)),
                       register_module(fmt::format("bn{}", number), BatchNorm2d({.channels = width})));
  }
  conv_last = register_module("conv_last", Conv2d({.in_channels = width, .out_channels = 1}));
}

void BamImpl::pack() {
  for (auto& [conv, norm] : steps) conv->pack_with(norm.get());
}

at::Tensor BamImpl::forward(const at::Tensor& x) {
  detail::check_input("Bam", x, options.channels, conv_last->weight);
  detail::check_statistics("Bam", x, is_training());
  const auto squeezed = at::relu(bn->forward(fc1->forward(x.mean({2, 3}))));  // [B,r]
  const auto channel = fc2->forward(squeezed).unsqueeze(-1).unsqueeze(-1);    // [B,C,1,1]
  auto y = x;
  for (auto& [conv, norm] : steps) y = conv_norm(conv.ptr(), norm.ptr(), y, Activation::relu);
  const auto spatial = conv_last->forward(y);  // [B,1,h,w]
  const auto gate = at::sigmoid(options.fusion == BamFusion::sum ? channel + spatial : channel * spatial);
  return x + detail::scaled(this, MapKind::feature, x, gate);
}

}  // namespace fovea
