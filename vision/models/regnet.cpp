#include "fovea/vision/models/regnet.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

RegNetOptions checked(const RegNetOptions& options) {
  require(!options.depths.empty() && options.depths.size() == options.widths.size(), ErrorKind::usage,
          "RegNet: depths [{}] must name the blocks of as many stages as widths [{}]", fmt::join(options.depths, ","),
          fmt::join(options.widths, ","));
  require(options.group_width > 0 && options.squeeze_ratio >= 0 && options.stem_width > 0 && options.in_channels > 0 &&
              options.num_classes >= 0,
          ErrorKind::usage,
          "RegNet: group_width {}, stem_width {} and in_channels {} must be positive, squeeze_ratio {} and num_classes "
          "{} not negative",
          options.group_width, options.stem_width, options.in_channels, options.squeeze_ratio, options.num_classes);
  for (size_t i = 0; i < options.depths.size(); ++i) {
    require(options.depths[i] > 0 && options.widths[i] > 0 && options.widths[i] % options.group_width == 0,
            ErrorKind::usage,
            "RegNet: stage {} has depth {} and width {}: both must be positive, the width a multiple of {}", i + 1,
            options.depths[i], options.widths[i], options.group_width);
  }
  return options;
}

}  // namespace

RegNetBlockImpl::RegNetBlockImpl(const RegNetBlockOptions& options) : options(options) {
  reset();
}

void RegNetBlockImpl::reset() {
  const auto make = [&](const char* key, const Conv2dOptions& conv) {
    return register_module(key, std::make_shared<ConvNormImpl>(ConvStepOptions{.conv = conv}));
  };
  const int64_t in = options.in_channels, width = options.width;
  conv1 = make("conv1", square_conv(in, width, 1));
  conv2 = make("conv2", square_conv(width, width, 3, options.stride, width / options.group_width));
  se = nullptr;
  if (options.squeeze > 0) {
    se = register_module("se", SqueezeExcite({.channels = width, .squeeze = options.squeeze}));
  }
  conv3 = make("conv3", square_conv(width, width, 1));
  downsample = nullptr;
  if (options.stride != 1 || in != width) downsample = make("downsample", square_conv(in, width, 1, options.stride));
}

at::Tensor RegNetBlockImpl::forward(const at::Tensor& x) {
  auto y = conv2->forward(conv1->forward(x, Activation::relu), Activation::relu);
  if (se) y = se->forward(y);
  return conv3->forward(y, Activation::relu, downsample ? downsample->forward(x) : x);
}

RegNetImpl::RegNetImpl(const RegNetOptions& options) : options(checked(options)) {
  reset();
}

void RegNetImpl::reset() {
  stem = register_module("stem", std::make_shared<ConvNormImpl>(ConvStepOptions{
                                     .conv = square_conv(options.in_channels, options.stem_width, 3, 2)}));
  stages.clear();
  RegNetBlockOptions block{.in_channels = options.stem_width, .group_width = options.group_width};
  for (size_t i = 0; i < options.depths.size(); ++i) {
    std::vector<RegNetBlockOptions> blocks;
    block.width = options.widths[i];
    block.stride = 2;
    for (int64_t n = 0; n < options.depths[i]; ++n) {
      block.squeeze = options.squeeze_ratio > 0 ? block.in_channels / options.squeeze_ratio : 0;
      blocks.push_back(block);
      block.in_channels = block.width;
      block.stride = 1;
    }
    stages.push_back(register_module(
        fmt::format("s{}", i + 1), std::make_shared<ChainImpl<RegNetBlockImpl>>(blocks, /*prefix=*/"b", /*first=*/1)));
  }
  head = register_module("head", std::make_shared<ClassifierHeadImpl>(block.in_channels, options.num_classes));
}

at::Tensor RegNetImpl::forward_features(const at::Tensor& x) {
  require(x.defined() && x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data,
          "RegNet: input must be [B,{},h,w], got {}", options.in_channels, shape_text(x));
  const TokenGridScope scope(grid(x.size(2), x.size(3)));
  auto y = stem->forward(x, Activation::relu);
  for (const auto& stage : stages) y = stage->forward(y);
  return y;
}

at::Tensor RegNetImpl::pool(const at::Tensor& features) {
  return features.mean({2, 3});
}

at::Tensor RegNetImpl::classify(const at::Tensor& pooled) {
  return head->forward(pooled);
}

TokenGrid RegNetImpl::grid(int64_t height, int64_t width) const {
  require(height > 0 && width > 0, ErrorKind::data, "RegNet: no pixels in a {}×{} input", height, width);
  for (size_t i = 0; i < 1 + stages.size(); ++i) {
    height = halved(height);
    width = halved(width);
  }
  return {.height = height, .width = width};
}

}  // namespace fovea
