#include "fovea/vision/models/mbconv.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"

namespace fovea {

void MeanShortcutImpl::reset() {
  expand = nullptr;
  if (options.in_channels != options.out_channels) expand = register_module("expand", Conv2d(options));
}

void MeanShortcutImpl::pack() {
  if (expand) expand->pack_with(nullptr);
}

at::Tensor MeanShortcutImpl::forward(const at::Tensor& x) {
  const auto means = at::avg_pool2d(x, 2);
  return expand ? conv_norm(expand.ptr(), nullptr, means) : means;
}

MbConvImpl::MbConvImpl(const MbConvOptions& options) : options(options) {
  const bool keeps = options.stride == 1 && options.in_channels == options.out_channels;
  require(keeps || options.stride == 2, ErrorKind::usage,
          "MbConv: stride {} from {} to {} channels; expected 2, or 1 without a change of width", options.stride,
          options.in_channels, options.out_channels);
  reset();
}

void MbConvImpl::reset() {
  const BatchNorm2dOptions norm = {.eps = options.norm_eps};
  const int64_t inner = options.inner_channels;
  pre_norm = register_module("pre_norm", BatchNorm2d({.channels = options.in_channels, .eps = options.norm_eps}));
  widen = make_conv_step({.conv = square_conv(options.in_channels, inner, 1), .norm = norm});
  depthwise = make_conv_step({.conv = square_conv(inner, inner, 3, options.stride, inner),
                              .norm = norm,
                              .same_padding = options.same_padding});
  auto last = square_conv(inner, options.out_channels, 1);
  last.bias = options.bias;
  project = make_conv_step({.conv = last});
  project.bn = nullptr;
  register_module("conv1_1x1", widen.conv);
  register_module("norm1", widen.bn);
  register_module("conv2_kxk", depthwise.conv);
  register_module("norm2", depthwise.bn);
  se = register_module("se",
                       SqueezeExcite({.channels = inner, .squeeze = options.squeeze, .activation = Activation::silu}));
  register_module("conv3_1x1", project.conv);
  shortcut = nullptr;
  if (options.stride == 2) {
    auto wider = square_conv(options.in_channels, options.out_channels, 1);
    wider.bias = options.bias;
    shortcut = register_module("shortcut", std::make_shared<MeanShortcutImpl>(wider));
  }
  drop_path = register_module("drop_path", DropPath(DropPathOptions{.probability = options.drop_path}));
}

void MbConvImpl::pack() {
  for (ConvStep* step : {&widen, &depthwise, &project}) step->pack();
}

at::Tensor MbConvImpl::forward(const at::Tensor& x) {
  const auto inner = depthwise.run(widen.run(pre_norm->forward(x), options.activation), options.activation);
  const auto branch = drop_path->forward(project.run(se->forward(inner)));
  return branch + (shortcut ? shortcut->forward(x) : x);
}

}  // namespace fovea
