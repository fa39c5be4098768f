#include "fovea/vision/models/hybrid_embed.h"

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

HybridEmbedImpl::HybridEmbedImpl(const HybridEmbedOptions& options) : options(options) {
  require(options.backbone != nullptr && options.channels > 0 && options.dim > 0, ErrorKind::usage,
          "HybridEmbed: a backbone is required, and channels {} and dim {} must be positive", options.channels,
          options.dim);
  reset();
}

void HybridEmbedImpl::reset() {
  backbone = options.backbone();
  register_module("backbone", std::dynamic_pointer_cast<torch::nn::Module>(backbone));
  proj = register_module("proj", Conv2d({.in_channels = options.channels, .out_channels = options.dim}));
}

at::Tensor HybridEmbedImpl::forward(const at::Tensor& x) {
  const auto features = backbone->forward_features(x);
  require(features.dim() == 4 && features.size(1) == options.channels, ErrorKind::data,
          "HybridEmbed: expected features [B,{},h,w] of the backbone, got {}", options.channels, shape_text(features));
  return proj->forward(features).permute({0, 2, 3, 1});
}

}  // namespace fovea
