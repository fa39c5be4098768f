#include "fovea/vision/models/vgg.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

constexpr int64_t kWindow = 7;  // side of the map that the head reads, pixels

VggOptions checked(const VggOptions& options) {
  require(!options.depths.empty() && options.depths.size() == options.widths.size(), ErrorKind::usage,
          "Vgg: depths [{}] must name the convolutions of as many stages as widths [{}]",
          fmt::join(options.depths, ","), fmt::join(options.widths, ","));
  for (size_t i = 0; i < options.depths.size(); ++i) {
    require(options.depths[i] > 0 && options.widths[i] > 0, ErrorKind::usage,
            "Vgg: stage {} has depth {} and width {}, both must be positive", i + 1, options.depths[i],
            options.widths[i]);
  }
  require(options.head_width > 0 && options.in_channels > 0 && options.num_classes >= 0, ErrorKind::usage,
          "Vgg: head_width {} and in_channels {} must be positive, num_classes {} not negative", options.head_width,
          options.in_channels, options.num_classes);
  return options;
}

at::Tensor halve(const at::Tensor& x) {
  return at::max_pool2d(x, /*kernel_size=*/2, /*stride=*/2);
}

}  // namespace

VggFeaturesImpl::VggFeaturesImpl(const VggOptions& options) : options(options) {
  reset();
}

void VggFeaturesImpl::reset() {
  stages.clear();
  int64_t channels = options.in_channels, place = 0;  // in the sequence
  for (size_t i = 0; i < options.depths.size(); ++i) {
    auto& steps = stages.emplace_back();
    for (int64_t n = 0; n < options.depths[i]; ++n) {
      auto conv = square_conv(channels, options.widths[i], 3);
      conv.bias = true;
      steps.push_back(make_conv_step({.conv = conv}));
      register_module(std::to_string(place++), steps.back().conv);
      if (options.norm) {
        register_module(std::to_string(place++), steps.back().bn);
      } else {
        steps.back().bn = nullptr;
      }
      ++place;  // the ReLU
      channels = options.widths[i];
    }
    ++place;  // the maximum
  }
}

void VggFeaturesImpl::pack() {
  for (auto& steps : stages) {
    for (auto& step : steps) step.pack();
  }
}

at::Tensor VggFeaturesImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (size_t i = 0; i < stages.size(); ++i) {
    if (i > 0) y = halve(y);
    for (const auto& step : stages[i]) y = step.run(y, Activation::relu);
  }
  recording::output(this, y, /*channel_dim=*/1);
  return y;
}

VggMlpImpl::VggMlpImpl(const VggOptions& options) : options(options) {
  reset();
}

void VggMlpImpl::reset() {
  const auto make = [&](const char* key, int64_t in, int64_t kernel) {
    ConvStep step = make_conv_step(
        {.conv = {.in_channels = in, .out_channels = options.head_width, .kernel = kernel, .bias = true}});
    step.bn = nullptr;
    register_module(key, step.conv);
    return step;
  };
  fc1 = make("fc1", options.widths.back(), kWindow);
  fc2 = make("fc2", options.head_width, 1);
}

void VggMlpImpl::pack() {
  fc1.pack();
  fc2.pack();
}

at::Tensor VggMlpImpl::forward(const at::Tensor& x) {
  const bool small = x.size(2) < kWindow || x.size(3) < kWindow;
  const auto map = small ? at::adaptive_avg_pool2d(x, {std::max(kWindow, x.size(2)), std::max(kWindow, x.size(3))}) : x;
  return fc2.run(fc1.run(map, Activation::relu), Activation::relu);
}

VggImpl::VggImpl(const VggOptions& options) : options(checked(options)) {
  reset();
}

void VggImpl::reset() {
  features = register_module("features", std::make_shared<VggFeaturesImpl>(options));
  pre_logits = register_module("pre_logits", std::make_shared<VggMlpImpl>(options));
  head = register_module("head", std::make_shared<ClassifierHeadImpl>(options.head_width, options.num_classes));
}

at::Tensor VggImpl::forward_grid(const at::Tensor& x) {
  require(x.defined() && x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data,
          "Vgg: input must be [B,{},h,w], got {}", options.in_channels, shape_text(x));
  const TokenGridScope scope(grid(x.size(2), x.size(3)));
  return features->forward(x);
}

at::Tensor VggImpl::forward_features(const at::Tensor& x) {
  return halve(forward_grid(x));
}

at::Tensor VggImpl::pool(const at::Tensor& features) {
  return pre_logits->forward(features).mean({2, 3});
}

at::Tensor VggImpl::classify(const at::Tensor& pooled) {
  return head->forward(pooled);
}

TokenGrid VggImpl::grid(int64_t height, int64_t width) const {
  const int64_t least = int64_t{1} << options.depths.size();
  require(height >= least && width >= least, ErrorKind::data, "Vgg: a {}×{} input is smaller than {}×{}", height, width,
          least, least);
  return {.height = height / least, .width = width / least};
}

}  // namespace fovea
