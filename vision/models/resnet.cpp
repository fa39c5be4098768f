#include "fovea/vision/models/resnet.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// A convolution without bias, as every one of a ResNet is, in He et al.'s initialisation, and its batch norm.
ResidualStep make_step(const Conv2dOptions& options, double initial_weight = 1) {
  const auto empty = [&] {
    const SkipInit skip;
    return Conv2d(options);
  };
  ResidualStep step{.conv = empty(),
                    .bn = BatchNorm2d({.channels = options.out_channels, .initial_weight = initial_weight})};
  step.conv->weight.set_data(init_kaiming_fan_out(step.conv->weight.sizes()));
  return step;
}

at::Tensor run(const ResidualStep& step, const at::Tensor& x, Activation activation, const at::Tensor& residual = {}) {
  return conv_norm(step.conv.ptr(), step.bn.ptr(), x, activation, residual);
}

void pack(ResidualStep& step) {
  step.conv->pack_with(step.bn.get());
}

// Pixels along one side behind a layer of stride 2 and padding (kernel − 1)/2.
int64_t halved(int64_t side) {
  return (side + 1) / 2;
}

ResNetOptions checked(const ResNetOptions& options) {
  require(!options.depths.empty() && options.depths.size() == options.widths.size(), ErrorKind::usage,
          "ResNet: depths [{}] must name the blocks of as many stages as widths [{}]", fmt::join(options.depths, ","),
          fmt::join(options.widths, ","));
  for (size_t i = 0; i < options.depths.size(); ++i) {
    require(options.depths[i] > 0 && options.widths[i] > 0, ErrorKind::usage,
            "ResNet: stage {} has depth {} and width {}, both must be positive", i + 1, options.depths[i],
            options.widths[i]);
  }
  require(options.stem_width > 0 && options.in_channels > 0 && options.num_classes >= 0, ErrorKind::usage,
          "ResNet: stem_width {} and in_channels {} must be positive, num_classes {} not negative", options.stem_width,
          options.in_channels, options.num_classes);
  return options;
}

}  // namespace

ShortcutImpl::ShortcutImpl(const ResidualBlockOptions& options) : options(options) {
  reset();
}

void ShortcutImpl::reset() {
  step = make_step({.in_channels = options.in_channels,
                    .out_channels = options.out_channels(),
                    .stride = options.stride,
                    .bias = false});
  register_module("0", step.conv);
  register_module("1", step.bn);
}

void ShortcutImpl::pack() {
  fovea::pack(step);
}

at::Tensor ShortcutImpl::forward(const at::Tensor& x) {
  return run(step, x, Activation::none);
}

ResidualBlockImpl::ResidualBlockImpl(const ResidualBlockOptions& options) : options(options) {
  reset();
}

void ResidualBlockImpl::reset() {
  const int64_t in = options.in_channels, width = options.width, out = options.out_channels(), stride = options.stride;
  const auto kernel = [](int64_t from, int64_t to, int64_t side, int64_t step = 1) {
    return Conv2dOptions{
        .in_channels = from, .out_channels = to, .kernel = side, .stride = step, .padding = side / 2, .bias = false};
  };
  const auto convs = options.block == ResNetBlock::basic
                         ? std::vector{kernel(in, width, 3, stride), kernel(width, out, 3)}
                         : std::vector{kernel(in, width, 1), kernel(width, width, 3, stride), kernel(width, out, 1)};
  steps.clear();
  for (size_t i = 0; i < convs.size(); ++i) {
    // The last norm starts at 0, so that a block begins as the identity.
    steps.push_back(make_step(convs[i], i + 1 < convs.size() ? 1 : 0));
    register_module(fmt::format("conv{}", i + 1), steps.back().conv);
    register_module(fmt::format("bn{}", i + 1), steps.back().bn);
  }
  se = {};
  if (!options.slot.empty()) {
    se = make_channel_attention(options.slot, {.channels = out, .reduction = options.reduction});
    register_module("se", se.ptr());
  }
  downsample = nullptr;
  if (stride != 1 || in != out) downsample = register_module("downsample", std::make_shared<ShortcutImpl>(options));
}

void ResidualBlockImpl::pack() {
  for (auto& step : steps) fovea::pack(step);
}

at::Tensor ResidualBlockImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (size_t i = 0; i + 1 < steps.size(); ++i) y = run(steps[i], y, Activation::relu);
  if (se.is_empty()) {
    return run(steps.back(), y, Activation::relu, downsample ? downsample->forward(x) : x);
  }
  y = se.forward(run(steps.back(), y, Activation::none));
  return y.add_(downsample ? downsample->forward(x) : x).relu_();
}

ResNetStageImpl::ResNetStageImpl(const ResNetStageOptions& options) : options(options) {
  reset();
}

void ResNetStageImpl::reset() {
  blocks.clear();
  auto block = options.first;
  for (int64_t i = 0; i < options.depth; ++i) {
    blocks.push_back(register_module(std::to_string(i), std::make_shared<ResidualBlockImpl>(block)));
    block.in_channels = block.out_channels();
    block.stride = 1;
  }
}

at::Tensor ResNetStageImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (const auto& block : blocks) y = block->forward(y);
  return y;
}

ResNetImpl::ResNetImpl(const ResNetOptions& options) : options(checked(options)) {
  reset();
}

void ResNetImpl::reset() {
  const bool pooled = options.stem == ResNetStem::pooled;
  stem = make_step({.in_channels = options.in_channels,
                    .out_channels = options.stem_width,
                    .kernel = pooled ? 7 : 3,
                    .stride = pooled ? 2 : 1,
                    .padding = pooled ? 3 : 1,
                    .bias = false});
  register_module("conv1", stem.conv);
  register_module("bn1", stem.bn);
  stages.clear();
  ResidualBlockOptions block{
      .block = options.block, .in_channels = options.stem_width, .slot = options.slot, .reduction = options.reduction};
  for (size_t i = 0; i < options.depths.size(); ++i) {
    block.width = options.widths[i];
    block.stride = i == 0 ? 1 : 2;
    stages.push_back(register_module(
        fmt::format("layer{}", i + 1),
        std::make_shared<ResNetStageImpl>(ResNetStageOptions{.depth = options.depths[i], .first = block})));
    block.in_channels = block.out_channels();
  }
  fc = nullptr;
  if (options.num_classes > 0) {
    fc = register_module("fc", Linear({.in_features = block.in_channels, .out_features = options.num_classes}));
  }
}

void ResNetImpl::pack() {
  fovea::pack(stem);
}

at::Tensor ResNetImpl::forward_features(const at::Tensor& x) {
  require(x.defined() && x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data,
          "ResNet: input must be [B,{},h,w], got {}", options.in_channels, shape_text(x));
  const TokenGridScope scope(grid(x.size(2), x.size(3)));
  auto y = run(stem, x, Activation::relu);
  if (options.stem != ResNetStem::plain) y = at::max_pool2d(y, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
  for (const auto& stage : stages) y = stage->forward(y);
  return y;
}

at::Tensor ResNetImpl::pool(const at::Tensor& features) {
  return features.mean({2, 3});
}

at::Tensor ResNetImpl::classify(const at::Tensor& pooled) {
  return fc ? fc->forward(pooled) : pooled;
}

TokenGrid ResNetImpl::grid(int64_t height, int64_t width) const {
  require(height > 0 && width > 0, ErrorKind::data, "ResNet: no pixels in a {}×{} input", height, width);
  int64_t halvings = static_cast<int64_t>(stages.size()) - 1;
  if (options.stem == ResNetStem::pooled) halvings += 2;
  if (options.stem == ResNetStem::halved) halvings += 1;
  for (int64_t i = 0; i < halvings; ++i) {
    height = halved(height);
    width = halved(width);
  }
  return {.height = height, .width = width};
}

}  // namespace fovea
