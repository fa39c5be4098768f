#include "fovea/vision/models/resnet.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/error.h"
#include "fovea/modules/patch/block.h"
#include "fovea/modules/shape.h"
#include "fovea/vision/models/place_logits.h"

namespace fovea {
namespace {

bool is_deep(ResNetStem stem) {
  return stem == ResNetStem::deep || stem == ResNetStem::tiered;
}

// Halvings of the input's sides in front of the output of a stage.
int64_t halvings(const ResNetOptions& options, size_t stage) {
  const bool pooled = options.stem == ResNetStem::pooled || is_deep(options.stem);
  const int64_t of_stem = pooled ? 2 : options.stem == ResNetStem::halved ? 1 : 0;
  return of_stem + static_cast<int64_t>(stage);
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
  require(options.groups > 0 && options.base_width > 0, ErrorKind::usage,
          "ResNet: groups {} and base_width {} must be positive", options.groups, options.base_width);
  const bool widened = options.groups != 1 || options.base_width != 64;
  require(!widened || options.block == ResNetBlock::bottleneck, ErrorKind::usage,
          "ResNet: groups {} and base_width {} are for bottlenecks", options.groups, options.base_width);
  require(!is_deep(options.stem) || options.stem_width % 8 == 0, ErrorKind::usage,
          "ResNet: the stem_width {} of a deep stem must be a multiple of 8", options.stem_width);
  const auto stages = static_cast<int64_t>(options.depths.size());
  for (const int64_t stage : options.slot_stages) {
    require(1 <= stage && stage <= stages, ErrorKind::usage, "ResNet: there is no stage {}, only 1…{}", stage, stages);
  }
  require(options.image_size >= 0, ErrorKind::usage, "ResNet: image_size {} is negative", options.image_size);
  return options;
}

}  // namespace

DeepStemImpl::DeepStemImpl(int64_t in_channels, int64_t first, int64_t out_channels)
    : in_channels(in_channels), first(first), out_channels(out_channels) {
  reset();
}

void DeepStemImpl::reset() {
  steps = {make_conv_step({.conv = square_conv(in_channels, first, 3, 2)}),
           make_conv_step({.conv = square_conv(first, out_channels / 2, 3)})};
  for (size_t i = 0; i < steps.size(); ++i) {
    register_module(std::to_string(3 * i), steps[i].conv);
    register_module(std::to_string(3 * i + 1), steps[i].bn);
  }
  last = register_module("6", make_conv_step({.conv = square_conv(out_channels / 2, out_channels, 3)}).conv);
}

void DeepStemImpl::pack() {
  for (auto& step : steps) step.pack();
}

at::Tensor DeepStemImpl::forward(const at::Tensor& x) {
  return steps[1].run(steps[0].run(x, Activation::relu), Activation::relu);
}

ShortcutImpl::ShortcutImpl(const ResidualBlockOptions& options) : options(options) {
  reset();
}

void ShortcutImpl::reset() {
  const bool mean = options.mean_shortcut;
  step =
      make_conv_step({.conv = square_conv(options.in_channels, options.out_channels(), 1, mean ? 1 : options.stride)});
  register_module(mean ? "1" : "0", step.conv);
  register_module(mean ? "2" : "1", step.bn);
}

void ShortcutImpl::pack() {
  step.pack();
}

at::Tensor ShortcutImpl::forward(const at::Tensor& x) {
  if (!options.mean_shortcut || options.stride == 1) return step.run(x);
  // Pixels of an odd side's rest are averaged among themselves.
  return step.run(at::avg_pool2d(x, options.stride, options.stride, /*padding=*/0, /*ceil_mode=*/true,
                                 /*count_include_pad=*/false));
}

ResidualBlockImpl::ResidualBlockImpl(const ResidualBlockOptions& options) : options(options) {
  reset();
}

void ResidualBlockImpl::reset() {
  const int64_t in = options.in_channels, width = options.width, out = options.out_channels(), stride = options.stride;
  const int64_t inner = width * options.base_width / 64 * options.groups;
  const auto convs = options.block == ResNetBlock::basic
                         ? std::vector{square_conv(in, width, 3, stride), square_conv(width, out, 3)}
                         : std::vector{square_conv(in, inner, 1), square_conv(inner, inner, 3, stride, options.groups),
                                       square_conv(inner, out, 1)};
  steps.clear();
  for (size_t i = 0; i < convs.size(); ++i) {
    // The last norm starts at 0, so that a block begins as the identity.
    steps.push_back(make_conv_step({.conv = convs[i], .norm = {.initial_weight = i + 1 < convs.size() ? 1.0 : 0.0}}));
    register_module(fmt::format("conv{}", i + 1), steps.back().conv);
    register_module(fmt::format("bn{}", i + 1), steps.back().bn);
  }
  se = {};
  if (!options.slot.empty()) {
    se = make_channel_attention(
        options.slot, {.channels = out, .reduction = options.reduction, .height = options.side, .width = options.side});
    register_module("se", se.ptr());
  }
  downsample = nullptr;
  if (stride != 1 || in != out) downsample = register_module("downsample", std::make_shared<ShortcutImpl>(options));
}

void ResidualBlockImpl::pack() {
  for (auto& step : steps) step.pack();
}

std::string ResidualBlockImpl::added_part() const {
  const bool can_start = !se.is_empty() && dynamic_cast<ConstantGate*>(se.ptr().get()) != nullptr;
  return can_start ? "se" : "";
}

void ResidualBlockImpl::start_as_plain() {
  const double share = dynamic_cast<ConstantGate&>(*se.ptr()).make_constant();
  const at::NoGradGuard no_grad;
  const auto& norm = *steps.back().bn;
  // A power of two, so that no bit is lost; new memory, for the old may be the checkpoint's.
  norm.weight.set_data(norm.weight / share);
  norm.bias.set_data(norm.bias / share);
}

at::Tensor ResidualBlockImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (size_t i = 0; i + 1 < steps.size(); ++i) y = steps[i].run(y, Activation::relu);
  if (se.is_empty()) return steps.back().run(y, Activation::relu, downsample ? downsample->forward(x) : x);
  y = se.forward(steps.back().run(y));
  return add_residual(downsample ? downsample->forward(x) : x, y).relu_();
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
  recording::output(this, y, /*channel_dim=*/1);
  return y;
}

ResNetImpl::ResNetImpl(const ResNetOptions& options) : options(checked(options)) {
  reset();
}

void ResNetImpl::reset() {
  deep = nullptr;
  if (is_deep(options.stem)) {
    const int64_t first = options.stem == ResNetStem::tiered ? options.stem_width / 8 * 3 : options.stem_width / 2;
    deep = register_module("conv1", std::make_shared<DeepStemImpl>(options.in_channels, first, options.stem_width));
    stem = {.bn = BatchNorm2d({.channels = options.stem_width})};
  } else {
    const bool pooled = options.stem == ResNetStem::pooled;
    stem =
        make_conv_step({.conv = square_conv(options.in_channels, options.stem_width, pooled ? 7 : 3, pooled ? 2 : 1)});
    register_module("conv1", stem.conv);
  }
  register_module("bn1", stem.bn);
  stages.clear();
  ResidualBlockOptions block{.block = options.block,
                             .in_channels = options.stem_width,
                             .reduction = options.reduction,
                             .groups = options.groups,
                             .base_width = options.base_width,
                             .mean_shortcut = options.mean_shortcut};
  for (size_t i = 0; i < options.depths.size(); ++i) {
    block.width = options.widths[i];
    block.stride = i == 0 ? 1 : 2;
    const bool has_slot =
        options.slot_stages.empty() || std::ranges::count(options.slot_stages, static_cast<int64_t>(i) + 1) > 0;
    block.slot = has_slot ? options.slot : "";
    block.side = options.image_size;
    for (int64_t n = halvings(options, i); n > 0; --n) block.side = halved(block.side);
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

ConvStep ResNetImpl::last_of_stem() const {
  return deep ? ConvStep{.conv = deep->last, .bn = stem.bn} : stem;
}

void ResNetImpl::pack() {
  last_of_stem().pack();
}

at::Tensor ResNetImpl::forward_features(const at::Tensor& x) {
  require(x.defined() && x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data,
          "ResNet: input must be [B,{},h,w], got {}", options.in_channels, shape_text(x));
  const TokenGridScope scope(grid(x.size(2), x.size(3)));
  auto y = last_of_stem().run(deep ? deep->forward(x) : x, Activation::relu);
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

at::Tensor ResNetImpl::logits(const at::Tensor& features) {
  if (!options.at_places || !fc) return classify(pool(features));
  return most_of_places(*this, features.flatten(2).transpose(1, 2));
}

TokenGrid ResNetImpl::grid(int64_t height, int64_t width) const {
  require(height > 0 && width > 0, ErrorKind::data, "ResNet: no pixels in a {}×{} input", height, width);
  for (int64_t n = halvings(options, stages.size() - 1); n > 0; --n) {
    height = halved(height);
    width = halved(width);
  }
  return {.height = height, .width = width};
}

}  // namespace fovea
