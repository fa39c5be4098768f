// VGG: 3×3 convolutions and maxima, and a head of three wide layers. Show, Attend and Tell looks at its grid.
#pragma once

#include <vector>

#include "fovea/modules/module.h"
#include "fovea/vision/models/classifier_head.h"
#include "fovea/vision/models/conv_step.h"
#include "fovea/vision/models/model.h"

namespace fovea {

struct VggOptions {
  std::vector<int64_t> depths = {};                        // convolutions of each stage; required
  std::vector<int64_t> widths = {64, 128, 256, 512, 512};  // channels of each stage, one a depth
  bool norm = false;                                       // a batch norm behind each convolution
  int64_t head_width = 4096;
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
};

// Keys `0`, `2`, … as in a sequence of convolution, norm (where there is one), ReLU and at the end of a stage maximum.
class VggFeaturesImpl : public Module<VggFeaturesImpl> {
 public:
  explicit VggFeaturesImpl(const VggOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);  // [B,in,h,w] → [B,C,h',w'] in front of the last maximum

  VggOptions options;
  std::vector<std::vector<ConvStep>> stages;
};

// relu(fc2(relu(fc1(x)))): convolutions of 7×7 and 1×1 pixels without padding.
class VggMlpImpl : public Module<VggMlpImpl> {
 public:
  explicit VggMlpImpl(const VggOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,head_width,h−6,w−6]; smaller maps are stretched to 7×7

  VggOptions options;
  ConvStep fc1, fc2;
};

// Keys are timm's: `features.0`, …, `pre_logits.fc1`, `pre_logits.fc2`, `head.fc`. On pictures larger than 224 the wide
// layers run at every place and their mean counts, as in timm; torchvision averages the features to 7×7 first, the same
// at 224.
// Simonyan and Zisserman, Very Deep Convolutional Networks, 2015, https://arxiv.org/abs/1409.1556
class VggImpl : public Module<VggImpl>, public ImageModel {
 public:
  // Throws Error(usage) for empty depths, widths that do not match them, and numbers that are not positive.
  explicit VggImpl(const VggOptions& options);
  void reset() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,in,h,w] → [B,C,h',w'], 7×7 at 224
  at::Tensor pool(const at::Tensor& features) override;       // → [B,head_width]
  at::Tensor classify(const at::Tensor& pooled) override;     // → [B,classes]
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  // What captioners attend to: the features in front of the last maximum, [B,512,14,14] at 224. Xu et al., Show, Attend
  // and Tell, 2015, https://arxiv.org/abs/1502.03044
  at::Tensor forward_grid(const at::Tensor& x);

  VggOptions options;
  std::shared_ptr<VggFeaturesImpl> features;
  std::shared_ptr<VggMlpImpl> pre_logits;
  std::shared_ptr<ClassifierHeadImpl> head;
};
FOVEA_MODULE(Vgg);

}  // namespace fovea
