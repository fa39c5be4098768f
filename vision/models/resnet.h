// Residual networks with a slot for channel attention in every block.
#pragma once

#include <torch/nn/modules/container/any.h>

#include <string>
#include <utility>
#include <vector>

#include "fovea/modules/channel/factory.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/linear.h"
#include "fovea/modules/module.h"
#include "fovea/vision/models/model.h"

namespace fovea {

enum class ResNetBlock {
  basic,       // 3×3, 3×3
  bottleneck,  // 1×1, 3×3 (with the stride), 1×1 to four times the width
};

enum class ResNetStem {
  pooled,  // 7×7 of stride 2 and a 3×3 maximum of stride 2: photographs
  halved,  // 3×3 of stride 1 and a 3×3 maximum of stride 2: pictures of 28 or 32 pixels, at a quarter of plain's cost
  plain,   // 3×3 of stride 1: the same pictures
};

struct ResNetOptions {
  ResNetBlock block = ResNetBlock::bottleneck;
  std::vector<int64_t> depths = {};                   // blocks of each stage; required
  std::vector<int64_t> widths = {64, 128, 256, 512};  // channels of each stage's 3×3 convolutions, one a depth
  std::string slot = {};                              // a name of make_channel_attention, or empty: none
  int64_t reduction = 0;                              // of the slot; 0: its own
  ResNetStem stem = ResNetStem::pooled;
  int64_t stem_width = 64;  // channels behind the stem
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
};

// One convolution and its batch norm, of a residual block.
struct ResidualStep {
  Conv2d conv = nullptr;
  BatchNorm2d bn = nullptr;
};

struct ResidualBlockOptions {
  ResNetBlock block = ResNetBlock::bottleneck;
  int64_t in_channels = 0;
  int64_t width = 0;
  int64_t stride = 1;
  std::string slot = {};
  int64_t reduction = 0;

  int64_t out_channels() const { return block == ResNetBlock::basic ? width : 4 * width; }
};

// The projection of a shortcut whose shape changes: a 1×1 convolution with the stride of the block, and a batch norm.
class ShortcutImpl : public Module<ShortcutImpl> {
 public:
  explicit ShortcutImpl(const ResidualBlockOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);

  ResidualBlockOptions options;
  ResidualStep step;  // keys `0` and `1`
};

// relu(slot(norm(conv(… relu(norm(conv(x)))))) + shortcut(x)). Keys `conv1`, `bn1`, …, `se`, `downsample`.
class ResidualBlockImpl : public Module<ResidualBlockImpl> {
 public:
  explicit ResidualBlockImpl(const ResidualBlockOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,C',h/stride,w/stride]

  ResidualBlockOptions options;
  std::vector<ResidualStep> steps;
  torch::nn::AnyModule se;                   // empty without a slot
  std::shared_ptr<ShortcutImpl> downsample;  // null where the shape stays
};

struct ResNetStageOptions {
  int64_t depth = 0;
  ResidualBlockOptions first;
};

// Blocks `0`, `1`, …, of which only the first changes the shape.
class ResNetStageImpl : public Module<ResNetStageImpl> {
 public:
  explicit ResNetStageImpl(const ResNetStageOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  ResNetStageOptions options;
  std::vector<std::shared_ptr<ResidualBlockImpl>> blocks;
};

// Keys are timm's: `conv1`, `bn1`, `layer1.0.conv1` …, `fc`; torchvision's ResNets have the same. Attention of the slot
// stands at `layer1.0.se` whatever its kind, before the sum.
// He et al., Deep Residual Learning for Image Recognition, 2016, https://arxiv.org/abs/1512.03385
class ResNetImpl : public Module<ResNetImpl>, public ImageModel {
 public:
  // Throws Error(usage) for empty depths, widths that do not match them, and numbers that are not positive.
  explicit ResNetImpl(const ResNetOptions& options);
  void reset() override;
  void pack() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,in,h,w] → [B,C,h',w']
  at::Tensor pool(const at::Tensor& features) override;       // → [B,C]: mean over pixels
  at::Tensor classify(const at::Tensor& pooled) override;     // → [B,classes]
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  ResNetOptions options;
  ResidualStep stem;
  std::vector<std::shared_ptr<ResNetStageImpl>> stages;
  Linear fc = nullptr;  // null without a classifier
};
FOVEA_MODULE(ResNet);

}  // namespace fovea
