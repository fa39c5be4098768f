// EfficientNet and MobileNetV3: stages of inverted residual blocks between a stem and a wide head.
#pragma once

#include <vector>

#include "fovea/modules/inference/linear.h"
#include "fovea/modules/module.h"
#include "fovea/vision/models/chain.h"
#include "fovea/vision/models/inverted_residual.h"
#include "fovea/vision/models/model.h"

namespace fovea {

enum class EfficientNetHead {
  normed,  // convolution and norm belong to the features, the mean stands behind them: EfficientNet
  pooled,  // the mean comes first, a biased convolution of one pixel behind it: MobileNetV3
};

struct EfficientNetOptions {
  int64_t stem_width = 32;
  std::vector<std::vector<InvertedResidualOptions>> stages = {};  // required; each block takes what the last one gives
  int64_t head_width = 1280;
  EfficientNetHead head = EfficientNetHead::normed;
  Activation activation = Activation::silu;  // of stem and head
  bool same_padding = false;                 // of the stem, see ConvStep
  double norm_eps = 1e-5;                    // of stem and head
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
};

// Keys are timm's: `conv_stem`, `bn1`, `blocks.S.N.…` (see InvertedResidualImpl), `conv_head`, `bn2` (none with the
// pooled head), `classifier`.
// Tan and Le, EfficientNet, 2019, https://arxiv.org/abs/1905.11946
// Howard et al., Searching for MobileNetV3, 2019, https://arxiv.org/abs/1905.02244
class EfficientNetImpl : public Module<EfficientNetImpl>, public ImageModel {
 public:
  // Throws Error(usage) without blocks, for blocks whose channels do not follow one another, and for numbers that are
  // not positive.
  explicit EfficientNetImpl(const EfficientNetOptions& options);
  void reset() override;
  void pack() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,in,h,w] → [B,C,h',w']
  at::Tensor pool(const at::Tensor& features) override;       // → [B,head_width]
  at::Tensor classify(const at::Tensor& pooled) override;     // → [B,classes]
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  EfficientNetOptions options;
  ConvStep stem;
  std::shared_ptr<ChainImpl<ChainImpl<InvertedResidualImpl>>> blocks;
  ConvStep head;
  Linear classifier = nullptr;  // null without classes
};
FOVEA_MODULE(EfficientNet);

}  // namespace fovea
