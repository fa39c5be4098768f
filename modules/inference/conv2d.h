// Two-dimensional convolution with torch's names, and folding of the batch norm that follows it.
#pragma once

#include <array>

#include "fovea/modules/inference/linear.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct Conv2dOptions {
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t kernel = 1;   // side, pixels
  int64_t stride = 1;   // pixels
  int64_t padding = 0;  // pixels of zeros on each side
  int64_t groups = 1;
  bool bias = true;
  bool bias_from_checkpoint = false;  // without bias: a checkpoint that has one gives it to the layer
  int64_t dilation = 1;               // pixels between two taps
  int64_t kernel_width = 0;   // of a kernel that is no square, pixels: `kernel` is its height alone; 0: a square
  int64_t padding_width = 0;  // of such a kernel: zeros to the left and right, `padding` is those above and below

  std::array<int64_t, 2> sides() const { return {kernel, kernel_width > 0 ? kernel_width : kernel}; }
  std::array<int64_t, 2> paddings() const { return {padding, kernel_width > 0 ? padding_width : padding}; }
};

// Keys `weight` [out,in/groups,kh,kw] and `bias` [out].
class Conv2dImpl : public Module<Conv2dImpl> {
 public:
  explicit Conv2dImpl(const Conv2dOptions& options);
  void reset() override;
  void unpack() override { packed_.drop(); }
  bool add_parameter(std::string_view name) override;

  // [B,in,h,w] → [B,out,h',w'].
  at::Tensor forward(const at::Tensor& x);

  // Makes the packed form of this convolution followed by `norm` (may be null) in evaluation mode.
  void pack_with(const BatchNorm2dImpl* norm);
  bool is_packed() const;

  Conv2dOptions options;
  at::Tensor weight;
  at::Tensor bias;  // undefined without bias

 private:
  friend at::Tensor conv_norm(const std::shared_ptr<Conv2dImpl>&, const std::shared_ptr<BatchNorm2dImpl>&,
                              const at::Tensor&, Activation, const at::Tensor&);
  PackedWeight packed_;
};
FOVEA_MODULE(Conv2d);

// activation(norm(conv(x)) + residual): one fused call when the convolution was packed with its norm, else the plain
// layers. `residual` may be undefined. Blocks call this for every convolution that a batch norm follows, and override
// ModuleBase::pack() with conv->pack_with(norm.get()) for each pair.
at::Tensor conv_norm(const std::shared_ptr<Conv2dImpl>& conv, const std::shared_ptr<BatchNorm2dImpl>& norm,
                     const at::Tensor& x, Activation activation = Activation::none, const at::Tensor& residual = {});

}  // namespace fovea
