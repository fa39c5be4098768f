// Residual networks with a slot for channel attention in every block: ResNet, ResNeXt, Wide ResNet and timm's variants.
#pragma once

#include <torch/nn/modules/container/any.h>

#include <string>
#include <utility>
#include <vector>

#include "fovea/modules/channel/factory.h"
#include "fovea/modules/inference/linear.h"
#include "fovea/modules/module.h"
#include "fovea/modules/weights/added_part.h"
#include "fovea/vision/models/conv_step.h"
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
  deep,    // three 3×3, the first of stride 2 and all but the last half as wide, then the maximum of `pooled`
  tiered,  // the same with the first 3/8 as wide
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
  int64_t groups = 1;          // of the bottlenecks' 3×3 convolutions: ResNeXt's cardinality
  int64_t base_width = 64;     // these have ⌊width·base_width/64⌋·groups channels
  bool mean_shortcut = false;  // shortcuts of stride 2 take the mean of 2×2 pixels before their convolution (ResNet-D)
  std::vector<int64_t> slot_stages = {};  // that have the slot, counted from 1; empty: all
  int64_t image_size = 0;  // side of the input that slots with position tables are made for; 0: as they choose
  bool at_places = false;  // the logits are most_of_places, not those of the mean
};

struct ResidualBlockOptions {
  ResNetBlock block = ResNetBlock::bottleneck;
  int64_t in_channels = 0;
  int64_t width = 0;
  int64_t stride = 1;
  std::string slot = {};
  int64_t reduction = 0;
  int64_t groups = 1;
  int64_t base_width = 64;
  bool mean_shortcut = false;
  int64_t side = 0;  // of the map that the slot is made for, pixels; 0: as it chooses

  int64_t out_channels() const { return block == ResNetBlock::basic ? width : 4 * width; }
};

// Three 3×3 convolutions with norms behind the first two: keys `0`, `1`, `3`, `4` and `6`.
class DeepStemImpl : public Module<DeepStemImpl> {
 public:
  DeepStemImpl(int64_t in_channels, int64_t first, int64_t out_channels);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);  // [B,in,h,w] → [B,out/2,⌈h/2⌉,⌈w/2⌉], in front of the last

  int64_t in_channels, first, out_channels;
  std::vector<ConvStep> steps;
  Conv2d last = nullptr;
};

// The projection of a shortcut whose shape changes: a 1×1 convolution with the stride of the block, or behind a mean
// of 2×2 pixels, and a batch norm.
class ShortcutImpl : public Module<ShortcutImpl> {
 public:
  explicit ShortcutImpl(const ResidualBlockOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);

  ResidualBlockOptions options;
  ConvStep step;  // keys `0` and `1`, with a mean in front `1` and `2`
};

// relu(slot(norm(conv(… relu(norm(conv(x)))))) + shortcut(x)). Keys `conv1`, `bn1`, …, `se`, `downsample`.
class ResidualBlockImpl : public Module<ResidualBlockImpl>, public ExtendsPlain {
 public:
  explicit ResidualBlockImpl(const ResidualBlockOptions& options);
  void reset() override;
  void pack() override;
  std::string added_part() const override;
  void start_as_plain() override;           // the norm before the gate undoes the share that the gate lets through
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,C',h/stride,w/stride]

  ResidualBlockOptions options;
  std::vector<ConvStep> steps;
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
// Xie et al., Aggregated Residual Transformations (ResNeXt), 2017, https://arxiv.org/abs/1611.05431
// He et al., Bag of Tricks (ResNet-D), 2019, https://arxiv.org/abs/1812.01187
class ResNetImpl : public Module<ResNetImpl>, public ImageModel {
 public:
  // Throws Error(usage) for empty depths, widths that do not match them, numbers that are not positive and a slot in a
  // stage that is not there.
  explicit ResNetImpl(const ResNetOptions& options);
  void reset() override;
  void pack() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,in,h,w] → [B,C,h',w']
  at::Tensor pool(const at::Tensor& features) override;       // → [B,C]: mean over pixels
  at::Tensor classify(const at::Tensor& pooled) override;     // → [B,classes]
  at::Tensor logits(const at::Tensor& features) override;
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  ResNetOptions options;
  ConvStep stem;                       // with a deep stem only its norm
  std::shared_ptr<DeepStemImpl> deep;  // null with other stems
  std::vector<std::shared_ptr<ResNetStageImpl>> stages;
  Linear fc = nullptr;  // null without a classifier

 private:
  ConvStep last_of_stem() const;
};
FOVEA_MODULE(ResNet);

}  // namespace fovea
