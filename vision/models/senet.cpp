#include "fovea/vision/models/senet.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "fovea/modules/error.h"
#include "fovea/modules/patch/block.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

std::vector<Conv2dOptions> convolutions(const SenetBlockOptions& o) {
  const int64_t in = o.in_channels, width = o.width, out = o.out_channels();
  const int64_t grouped = width * 4 / 64 * o.groups;
  switch (o.block) {
    case SenetBlock::basic:
      return {square_conv(in, width, 3, o.stride), square_conv(width, out, 3, 1, o.groups)};
    case SenetBlock::bottleneck:
      return {square_conv(in, width, 1, o.stride), square_conv(width, width, 3, 1, o.groups),
              square_conv(width, out, 1)};
    case SenetBlock::grouped:
      return {square_conv(in, grouped, 1), square_conv(grouped, grouped, 3, o.stride, o.groups),
              square_conv(grouped, out, 1)};
    case SenetBlock::wide:
      break;
  }
  return {square_conv(in, 2 * width, 1), square_conv(2 * width, out, 3, o.stride, o.groups), square_conv(out, out, 1)};
}

SenetOptions checked(const SenetOptions& options) {
  require(!options.depths.empty() && options.depths.size() == options.widths.size(), ErrorKind::usage,
          "Senet: depths [{}] must name the blocks of as many stages as widths [{}]", fmt::join(options.depths, ","),
          fmt::join(options.widths, ","));
  for (size_t i = 0; i < options.depths.size(); ++i) {
    require(options.depths[i] > 0 && options.widths[i] > 0, ErrorKind::usage,
            "Senet: stage {} has depth {} and width {}, both must be positive", i + 1, options.depths[i],
            options.widths[i]);
  }
  require(options.groups > 0 && options.stem_width > 0 && options.in_channels > 0 && options.num_classes >= 0,
          ErrorKind::usage,
          "Senet: groups {}, stem_width {} and in_channels {} must be positive, num_classes {} not negative",
          options.groups, options.stem_width, options.in_channels, options.num_classes);
  return options;
}

// Registers conv1, bn1, conv2, ….
std::vector<ConvStep> register_steps(torch::nn::Module& module, const std::vector<Conv2dOptions>& convolutions) {
  std::vector<ConvStep> steps;
  for (const Conv2dOptions& conv : convolutions) {
    steps.push_back(make_conv_step({.conv = conv}));
    module.register_module(fmt::format("conv{}", steps.size()), steps.back().conv);
    module.register_module(fmt::format("bn{}", steps.size()), steps.back().bn);
  }
  return steps;
}

}  // namespace

SenetShortcutImpl::SenetShortcutImpl(const SenetBlockOptions& options) : options(options) {
  reset();
}

void SenetShortcutImpl::reset() {
  step = make_conv_step(
      {.conv = square_conv(options.in_channels, options.out_channels(), options.shortcut_kernel, options.stride)});
  register_module("0", step.conv);
  register_module("1", step.bn);
}

SenetBlockImpl::SenetBlockImpl(const SenetBlockOptions& options) : options(options) {
  reset();
}

void SenetBlockImpl::reset() {
  steps = register_steps(*this, convolutions(options));
  const int64_t out = options.out_channels();
  se_module = register_module("se_module", SqueezeExcite({.channels = out, .squeeze = out / options.reduction}));
  downsample = nullptr;
  if (options.stride != 1 || options.in_channels != out) {
    downsample = register_module("downsample", std::make_shared<SenetShortcutImpl>(options));
  }
}

void SenetBlockImpl::pack() {
  for (auto& step : steps) step.pack();
}

at::Tensor SenetBlockImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool activated = i + 1 < steps.size() || options.block == SenetBlock::basic;
    y = steps[i].run(y, activated ? Activation::relu : Activation::none);
  }
  return add_residual(downsample ? downsample->forward(x) : x, se_module->forward(y)).relu_();
}

SenetStemImpl::SenetStemImpl(const SenetOptions& options) : options(options) {
  reset();
}

void SenetStemImpl::reset() {
  constexpr int64_t kInner = 64;
  const int64_t in = options.in_channels, out = options.stem_width;
  steps =
      register_steps(*this, options.deep_stem ? std::vector{square_conv(in, kInner, 3, 2),
                                                            square_conv(kInner, kInner, 3), square_conv(kInner, out, 3)}
                                              : std::vector{square_conv(in, out, 7, 2)});
}

void SenetStemImpl::pack() {
  for (auto& step : steps) step.pack();
}

at::Tensor SenetStemImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (const auto& step : steps) y = step.run(y, Activation::relu);
  return y;
}

SenetImpl::SenetImpl(const SenetOptions& options) : options(checked(options)) {
  reset();
}

void SenetImpl::reset() {
  layer0 = register_module("layer0", std::make_shared<SenetStemImpl>(options));
  stages.clear();
  SenetBlockOptions block{.block = options.block,
                          .in_channels = options.stem_width,
                          .groups = options.groups,
                          .reduction = options.reduction};
  for (size_t i = 0; i < options.depths.size(); ++i) {
    std::vector<SenetBlockOptions> blocks;
    block.width = options.widths[i];
    block.stride = i == 0 ? 1 : 2;
    block.shortcut_kernel = i == 0 ? 1 : options.shortcut_kernel;
    for (int64_t n = 0; n < options.depths[i]; ++n) {
      blocks.push_back(block);
      block.in_channels = block.out_channels();
      block.stride = 1;
    }
    stages.push_back(
        register_module(fmt::format("layer{}", i + 1), std::make_shared<ChainImpl<SenetBlockImpl>>(blocks)));
  }
  last_linear = nullptr;
  if (options.num_classes > 0) {
    last_linear =
        register_module("last_linear", Linear({.in_features = block.in_channels, .out_features = options.num_classes}));
  }
}

at::Tensor SenetImpl::forward_features(const at::Tensor& x) {
  require(x.defined() && x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data,
          "Senet: input must be [B,{},h,w], got {}", options.in_channels, shape_text(x));
  const TokenGridScope scope(grid(x.size(2), x.size(3)));
  auto y = at::max_pool2d(layer0->forward(x), /*kernel_size=*/3, /*stride=*/2, /*padding=*/0, /*dilation=*/1,
                          /*ceil_mode=*/true);
  for (const auto& stage : stages) y = stage->forward(y);
  return y;
}

at::Tensor SenetImpl::pool(const at::Tensor& features) {
  return features.mean({2, 3});
}

at::Tensor SenetImpl::classify(const at::Tensor& pooled) {
  return last_linear ? last_linear->forward(pooled) : pooled;
}

TokenGrid SenetImpl::grid(int64_t height, int64_t width) const {
  require(height >= 3 && width >= 3, ErrorKind::data, "Senet: a {}×{} input is smaller than 3×3", height, width);
  // The window of three without padding leaves half the pixels of the halved side, rounded down.
  height = halved(height) / 2;
  width = halved(width) / 2;
  for (size_t i = 1; i < stages.size(); ++i) {
    height = halved(height);
    width = halved(width);
  }
  return {.height = height, .width = width};
}

}  // namespace fovea
