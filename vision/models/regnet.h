// RegNetY: bottlenecks in groups of equal width, with squeeze-and-excitation behind the 3×3 convolution.
#pragma once

#include <vector>

#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/module.h"
#include "fovea/vision/models/chain.h"
#include "fovea/vision/models/classifier_head.h"
#include "fovea/vision/models/conv_step.h"
#include "fovea/vision/models/model.h"

namespace fovea {

struct RegNetOptions {
  std::vector<int64_t> depths = {};  // blocks of each stage; required
  std::vector<int64_t> widths = {};  // channels of each stage, one a depth, multiples of group_width
  int64_t group_width = 8;           // channels of a group of the 3×3 convolutions
  int64_t squeeze_ratio = 4;         // channels that come into a block for each squeezed one; 0: RegNetX, without
  int64_t stem_width = 32;
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
};

struct RegNetBlockOptions {
  int64_t in_channels = 0;
  int64_t width = 0;
  int64_t stride = 1;
  int64_t group_width = 8;
  int64_t squeeze = 0;  // width of the squeezed channels; 0: none
};

// relu(conv3(se(conv2(conv1(x)))) + shortcut(x)), each convolution with its norm. Keys `conv1.conv`, `conv1.bn`, …,
// `se`, `downsample.conv`, `downsample.bn`.
class RegNetBlockImpl : public Module<RegNetBlockImpl> {
 public:
  explicit RegNetBlockImpl(const RegNetBlockOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,width,⌈h/stride⌉,⌈w/stride⌉]

  RegNetBlockOptions options;
  std::shared_ptr<ConvNormImpl> conv1, conv2, conv3;
  SqueezeExcite se = nullptr;                // null without squeeze
  std::shared_ptr<ConvNormImpl> downsample;  // null where the shape stays
};

// Keys are timm's: `stem.conv`, `stem.bn`, `s1.b1.conv1.conv` …, `head.fc`.
// Radosavovic et al., Designing Network Design Spaces, 2020, https://arxiv.org/abs/2003.13678
class RegNetImpl : public Module<RegNetImpl>, public ImageModel {
 public:
  // Throws Error(usage) for empty depths, widths that do not match them or are no multiples of group_width, and numbers
  // that are not positive.
  explicit RegNetImpl(const RegNetOptions& options);
  void reset() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,in,h,w] → [B,C,h',w']
  at::Tensor pool(const at::Tensor& features) override;       // → [B,C]: mean over pixels
  at::Tensor classify(const at::Tensor& pooled) override;     // → [B,classes]
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  RegNetOptions options;
  std::shared_ptr<ConvNormImpl> stem;
  std::vector<std::shared_ptr<ChainImpl<RegNetBlockImpl>>> stages;
  std::shared_ptr<ClassifierHeadImpl> head;
};
FOVEA_MODULE(RegNet);

}  // namespace fovea
