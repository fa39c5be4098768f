// The interface of every image model: what a caller may ask without knowing the architecture.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "fovea/modules/attention/recorder.h"

namespace fovea {

// Inherited by the Impl of each architecture beside its Module base.
class ImageModel {
 public:
  virtual ~ImageModel() = default;

  // x [B,3,h,w], normalised → tokens [B,prefix+h'·w',D] (ViT) or grid features [B,C,h',w'] (CNN, Swin), after the final
  // norm where the architecture has one.
  virtual at::Tensor forward_features(const at::Tensor& x) = 0;

  // Features → [B,D], timm's forward_head(features, pre_logits=True).
  virtual at::Tensor pool(const at::Tensor& features) = 0;

  // Pooled features → logits [B,classes], or the pooled features themselves in a model without a classifier.
  virtual at::Tensor classify(const at::Tensor& pooled) = 0;

  // Features → logits. Differs from classify(pool(features)) where several heads each read a token of their own
  // (distilled DeiT), so callers who hold features ask this.
  virtual at::Tensor logits(const at::Tensor& features) { return classify(pool(features)); }

  // Where the features lie on an input of this size, prefix tokens included. Throws Error(data) for a size that the
  // architecture does not take.
  virtual TokenGrid grid(int64_t height, int64_t width) const = 0;

  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor features = forward_features(x);
    const TokenGridScope scope(grid(x.size(2), x.size(3)));  // of attention within the head
    return logits(features);
  }

  // The same object as a torch module (parameters, train(), to()).
  virtual torch::nn::Module& module() = 0;
};

}  // namespace fovea
