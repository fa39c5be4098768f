// MaxViT's inverted residual block: a norm in front, squeeze-and-excitation within, a shortcut of its own where the
// size changes.
#pragma once

#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/module.h"
#include "fovea/modules/patch/drop_path.h"
#include "fovea/vision/models/conv_step.h"

namespace fovea {

struct MbConvOptions {
  int64_t in_channels = 0;
  int64_t inner_channels = 0;  // between the 1×1 convolutions
  int64_t out_channels = 0;
  int64_t stride = 1;   // 1, or 2 of the 3×3 convolution, with 2×2 means along the shortcut
  int64_t squeeze = 0;  // width of the squeezed channels
  bool bias = false;    // of the last convolution and of the shortcut's
  Activation activation = Activation::silu;
  bool same_padding = false;  // see ConvStep
  double norm_eps = 1e-5;
  double drop_path = 0;  // probability that a sample skips the branch in training
};

// 2×2 means, in another width by a convolution with the key `expand`.
class MeanShortcutImpl : public Module<MeanShortcutImpl> {
 public:
  explicit MeanShortcutImpl(const Conv2dOptions& options) : options(options) { reset(); }
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,C',h/2,w/2]

  Conv2dOptions options;
  Conv2d expand = nullptr;  // null where the width stays
};

// shortcut(x) + conv3(se(norm2(conv2(norm1(conv1(pre_norm(x))))))), an activation behind norm1 and norm2.
//
// Keys are timm's: `pre_norm`, `conv1_1x1`, `norm1`, `conv2_kxk`, `norm2`, `se.fc1`, `se.fc2`, `conv3_1x1`, and
// `shortcut.expand` where stride 2 meets another width. Throws Error(usage) for another stride, and for another width
// at stride 1. Tu et al., MaxViT: Multi-Axis Vision Transformer, 2022, https://arxiv.org/abs/2204.01697
class MbConvImpl : public Module<MbConvImpl> {
 public:
  explicit MbConvImpl(const MbConvOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,C',h/stride,w/stride], sides that divide

  MbConvOptions options;
  BatchNorm2d pre_norm = nullptr;
  ConvStep widen, depthwise, project;
  SqueezeExcite se = nullptr;
  std::shared_ptr<MeanShortcutImpl> shortcut;  // null at stride 1
  DropPath drop_path = nullptr;
};

}  // namespace fovea
