// The blocks of MobileNetV3 and EfficientNet: a wide depthwise convolution with squeeze-and-excitation between narrow
// ends.
#pragma once

#include <vector>

#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/module.h"
#include "fovea/vision/models/conv_step.h"

namespace fovea {

enum class InvertedBlock {
  inverted,   // 1×1 to the inner width, k×k of each channel, squeeze-and-excitation, 1×1 to the outer width
  separable,  // the same without the first
  plain,      // one k×k convolution, no shortcut
};

struct InvertedResidualOptions {
  InvertedBlock kind = InvertedBlock::inverted;
  int64_t in_channels = 0;
  int64_t inner_channels = 0;  // of `inverted` alone
  int64_t out_channels = 0;
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t squeeze = 0;  // width of the squeezed channels; 0: no squeeze-and-excitation
  Gate gate = Gate::sigmoid;
  Activation squeeze_activation = Activation::relu;
  Activation activation = Activation::relu;
  bool same_padding = false;  // see ConvStep
  double norm_eps = 1e-5;
};

// project(se(norm(depthwise(act(norm(expand(x))))))) + x, the sum where the shape stays; the projection is linear.
//
// Keys are timm's: `conv_pw`, `bn1`, `conv_dw`, `bn2`, `se.conv_reduce`, `se.conv_expand`, `conv_pwl`, `bn3`;
// `separable`: `conv_dw`, `bn1`, `se.…`, `conv_pw`, `bn2`; `plain`: `conv`, `bn1`.
// Throws Error(usage) for widths that are not positive.
// Sandler et al., MobileNetV2, 2018, https://arxiv.org/abs/1801.04381
// Howard et al., Searching for MobileNetV3, 2019, https://arxiv.org/abs/1905.02244
class InvertedResidualImpl : public Module<InvertedResidualImpl> {
 public:
  explicit InvertedResidualImpl(const InvertedResidualOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,C',⌈h/stride⌉,⌈w/stride⌉]

  InvertedResidualOptions options;
  std::vector<ConvStep> steps;
  SqueezeExcite se = nullptr;  // null without squeeze

 private:
  bool has_shortcut() const;
};

}  // namespace fovea
