#include "fovea/vision/models/efficientnet.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

EfficientNetOptions checked(const EfficientNetOptions& options) {
  require(options.stem_width > 0 && options.head_width > 0 && options.in_channels > 0 && options.num_classes >= 0,
          ErrorKind::usage,
          "EfficientNet: stem_width {}, head_width {} and in_channels {} must be positive, num_classes {} not negative",
          options.stem_width, options.head_width, options.in_channels, options.num_classes);
  require(!options.stages.empty(), ErrorKind::usage, "EfficientNet: there are no stages");
  int64_t channels = options.stem_width;
  for (size_t s = 0; s < options.stages.size(); ++s) {
    require(!options.stages[s].empty(), ErrorKind::usage, "EfficientNet: stage {} has no blocks", s);
    for (const auto& block : options.stages[s]) {
      require(block.in_channels == channels, ErrorKind::usage,
              "EfficientNet: a block of stage {} takes {} channels, the one before it gives {}", s, block.in_channels,
              channels);
      channels = block.out_channels;
    }
  }
  return options;
}

}  // namespace

EfficientNetImpl::EfficientNetImpl(const EfficientNetOptions& options) : options(checked(options)) {
  reset();
}

void EfficientNetImpl::reset() {
  const BatchNorm2dOptions norm = {.eps = options.norm_eps};
  stem = make_conv_step({.conv = square_conv(options.in_channels, options.stem_width, 3, 2),
                         .norm = norm,
                         .same_padding = options.same_padding});
  register_module("conv_stem", stem.conv);
  register_module("bn1", stem.bn);
  blocks = register_module("blocks", std::make_shared<ChainImpl<ChainImpl<InvertedResidualImpl>>>(options.stages));

  auto last = square_conv(options.stages.back().back().out_channels, options.head_width, 1);
  last.bias = options.head == EfficientNetHead::pooled;
  head = make_conv_step({.conv = last, .norm = norm});
  register_module("conv_head", head.conv);
  if (options.head == EfficientNetHead::normed) {
    register_module("bn2", head.bn);
  } else {
    head.bn = nullptr;
  }
  classifier = nullptr;
  if (options.num_classes > 0) {
    classifier =
        register_module("classifier", Linear({.in_features = options.head_width, .out_features = options.num_classes}));
  }
}

void EfficientNetImpl::pack() {
  stem.pack();
  head.pack();
}

at::Tensor EfficientNetImpl::forward_features(const at::Tensor& x) {
  require(x.defined() && x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data,
          "EfficientNet: input must be [B,{},h,w], got {}", options.in_channels, shape_text(x));
  const TokenGridScope scope(grid(x.size(2), x.size(3)));
  const auto y = blocks->forward(stem.run(x, options.activation));
  return options.head == EfficientNetHead::normed ? head.run(y, options.activation) : y;
}

at::Tensor EfficientNetImpl::pool(const at::Tensor& features) {
  if (options.head == EfficientNetHead::normed) return features.mean({2, 3});
  return head.run(features.mean({2, 3}, /*keepdim=*/true), options.activation).flatten(1);
}

at::Tensor EfficientNetImpl::classify(const at::Tensor& pooled) {
  return classifier ? classifier->forward(pooled) : pooled;
}

TokenGrid EfficientNetImpl::grid(int64_t height, int64_t width) const {
  require(height > 0 && width > 0, ErrorKind::data, "EfficientNet: no pixels in a {}×{} input", height, width);
  TokenGrid grid{.height = halved(height), .width = halved(width)};
  for (const auto& stage : options.stages) {
    for (const auto& block : stage) {
      grid.height = (grid.height + block.stride - 1) / block.stride;
      grid.width = (grid.width + block.stride - 1) / block.stride;
    }
  }
  return grid;
}

}  // namespace fovea
