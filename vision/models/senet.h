// Squeeze-and-excitation networks with the weights of their authors, ported from Caffe: timm's legacy_seresnet50 and
// kin.
#pragma once

#include <vector>

#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/inference/linear.h"
#include "fovea/modules/module.h"
#include "fovea/vision/models/chain.h"
#include "fovea/vision/models/conv_step.h"
#include "fovea/vision/models/model.h"

namespace fovea {

enum class SenetBlock {
  basic,       // 3×3 with the stride, 3×3, each with a ReLU behind it
  bottleneck,  // 1×1 with the stride, 3×3, 1×1: torchvision has the stride in the second
  grouped,     // 1×1, 3×3 in groups of 4·width/64 channels, with the stride, 1×1: SE-ResNeXt
  wide,        // 1×1 to twice, 3×3 in groups to four times the width, with the stride, 1×1: SENet-154
};

struct SenetOptions {
  SenetBlock block = SenetBlock::bottleneck;
  std::vector<int64_t> depths = {};                   // blocks of each stage; required
  std::vector<int64_t> widths = {64, 128, 256, 512};  // of each stage, one a depth
  int64_t groups = 1;                                 // of the 3×3 convolutions
  int64_t reduction = 16;                             // channels for each squeezed one, rounded down
  bool deep_stem = false;                             // three 3×3 convolutions instead of one of 7×7
  int64_t stem_width = 64;                            // channels behind the stem
  int64_t shortcut_kernel = 1;                        // side of the convolutions of shortcuts of stride 2
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
};

struct SenetBlockOptions {
  SenetBlock block = SenetBlock::bottleneck;
  int64_t in_channels = 0;
  int64_t width = 0;
  int64_t stride = 1;
  int64_t groups = 1;
  int64_t reduction = 16;
  int64_t shortcut_kernel = 1;

  int64_t out_channels() const { return block == SenetBlock::basic ? width : 4 * width; }
};

// Keys `0` and `1`.
class SenetShortcutImpl : public Module<SenetShortcutImpl> {
 public:
  explicit SenetShortcutImpl(const SenetBlockOptions& options);
  void reset() override;
  void pack() override { step.pack(); }
  at::Tensor forward(const at::Tensor& x) { return step.run(x); }

  SenetBlockOptions options;
  ConvStep step;
};

// relu(se(norm(conv(… relu(norm(conv(x)))))) + shortcut(x)). Keys `conv1`, `bn1`, …, `se_module`, `downsample`.
class SenetBlockImpl : public Module<SenetBlockImpl> {
 public:
  explicit SenetBlockImpl(const SenetBlockOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,C',⌈h/stride⌉,⌈w/stride⌉]

  SenetBlockOptions options;
  std::vector<ConvStep> steps;
  SqueezeExcite se_module = nullptr;
  std::shared_ptr<SenetShortcutImpl> downsample;  // null where the shape stays
};

// Keys `conv1`, `bn1`, of a deep stem up to `conv3`, `bn3`.
class SenetStemImpl : public Module<SenetStemImpl> {
 public:
  explicit SenetStemImpl(const SenetOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);  // [B,in,h,w] → [B,C,⌈h/2⌉,⌈w/2⌉]

  SenetOptions options;
  std::vector<ConvStep> steps;
};

// Keys as in Cadene's port and timm's: `layer0.conv1` …, `layer1.0.conv1` …, `last_linear`. Behind the stem stands a
// maximum of 3×3 without padding whose last window may reach over the edge, as in Caffe: with the weights of these
// networks, timm's seresnet50 would run and give other numbers.
// Hu et al., Squeeze-and-Excitation Networks, 2018, https://arxiv.org/abs/1709.01507
class SenetImpl : public Module<SenetImpl>, public ImageModel {
 public:
  // Throws Error(usage) for empty depths, widths that do not match them, and numbers that are not positive.
  explicit SenetImpl(const SenetOptions& options);
  void reset() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,in,h,w] → [B,C,h',w']; sides of at least 3
  at::Tensor pool(const at::Tensor& features) override;       // → [B,C]: mean over pixels
  at::Tensor classify(const at::Tensor& pooled) override;     // → [B,classes]
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  SenetOptions options;
  std::shared_ptr<SenetStemImpl> layer0;
  std::vector<std::shared_ptr<ChainImpl<SenetBlockImpl>>> stages;
  Linear last_linear = nullptr;  // null without a classifier
};
FOVEA_MODULE(Senet);

}  // namespace fovea
