// A convolution with the batch norm behind it: what convolutional networks are made of.
#pragma once

#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct ConvStep {
  Conv2d conv = nullptr;
  BatchNorm2d bn = nullptr;   // null: none
  bool same_padding = false;  // zeros are added in front of the convolution, as TensorFlow does

  // activation(bn(conv(x)) + residual); `residual` may be undefined.
  at::Tensor run(const at::Tensor& x, Activation activation = Activation::none, const at::Tensor& residual = {}) const;
  // In evaluation mode the two become one packed convolution.
  void pack();
};

struct ConvStepOptions {
  Conv2dOptions conv;  // its bias stays as given; convolutions before a norm have none
  BatchNorm2dOptions norm = {};
  // Padding such that ⌈side/stride⌉ pixels come out, an odd one at the end, instead of conv.padding.
  bool same_padding = false;
};

// Without a place in a module: the caller registers both. The convolution starts as He et al. proposed, a bias at 0.
ConvStep make_conv_step(ConvStepOptions options);

// A square convolution without bias that keeps the size at stride 1.
Conv2dOptions square_conv(int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride = 1,
                          int64_t groups = 1);

// A step with a place of its own: keys `conv.*` and `bn.*` (timm's ConvNormAct).
class ConvNormImpl : public Module<ConvNormImpl> {
 public:
  explicit ConvNormImpl(const ConvStepOptions& options);
  void reset() override;
  void pack() override { step.pack(); }
  at::Tensor forward(const at::Tensor& x, Activation activation = Activation::none, const at::Tensor& residual = {}) {
    return step.run(x, activation, residual);
  }

  ConvStepOptions options;
  ConvStep step;
};

// Pixels along one side behind a layer of stride 2 that is padded so that ⌈side/2⌉ come out.
inline int64_t halved(int64_t side) {
  return (side + 1) / 2;
}

}  // namespace fovea
