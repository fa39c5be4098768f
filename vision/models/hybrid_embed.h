// A convolutional network in place of the patches of a vision transformer.
#pragma once

#include <functional>

#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/module.h"
#include "fovea/vision/models/model.h"

namespace fovea {

struct HybridEmbedOptions {
  std::function<std::shared_ptr<ImageModel>()> backbone;  // makes a CNN without classifier
  int64_t channels = 0;                                   // of its features
  int64_t dim = 0;                                        // width of a token
};

// token(i, j) = W·features(x)(i, j) + b. A small transformer learns with it from far fewer pictures. Keys are timm's:
// `backbone.*` and `proj`. Dosovitskiy et al., An Image is Worth 16x16 Words, section 3.1, 2020,
// https://arxiv.org/abs/2010.11929
class HybridEmbedImpl : public Module<HybridEmbedImpl> {
 public:
  // Throws Error(usage) without a backbone and for widths that are not positive.
  explicit HybridEmbedImpl(const HybridEmbedOptions& options);
  void reset() override;

  // x [B,C,H,W] → [B,h,w,D], h and w those of the backbone's grid. Throws Error(data) for features that are no
  // [B,channels,h,w].
  at::Tensor forward(const at::Tensor& x);

  HybridEmbedOptions options;
  std::shared_ptr<ImageModel> backbone;
  Conv2d proj{nullptr};
};
FOVEA_MODULE(HybridEmbed);

}  // namespace fovea
