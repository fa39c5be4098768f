// Selective kernels: paths of convolutions with different reach, mixed by a softmax for each channel.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct SelectiveKernelOptions {
  int64_t channels = 0;
  int64_t out_channels = 0;               // 0: channels
  std::vector<int64_t> kernels = {3, 5};  // side of each path's convolution, pixels, odd, at least 3
  int64_t stride = 1;
  int64_t groups = 1;
  int64_t reduction = 16;   // out_channels for each squeezed one
  bool dilate = true;       // a larger kernel is a 3×3 one with its taps apart (the paper and timm)
  bool split_input = true;  // each path reads its share of the channels (timm); false: all of them (the paper)
};

// y = Σ_p a_p·u_p with u_p = relu(norm(conv_p(x))) and a = softmax over paths of W·relu(norm(R·mean(Σ_p u_p))), a
// number for each path and channel. [B,C,h,w] → [B,C',h/stride,w/stride]. The recorder gets a as [B,paths·C'], path by
// path.
//
// Keys `paths.0.conv.weight`, `paths.0.bn.*` …, `attn.fc_reduce.weight`, `attn.bn.*`, `attn.fc_select.weight` (timm's
// SelectiveKernel). Throws Error(usage) for options that do not go together and for a training batch of one image,
// Error(data) naming the shape of x.
// Li et al., Selective Kernel Networks, 2019, https://arxiv.org/abs/1903.06586
class SelectiveKernelImpl : public Module<SelectiveKernelImpl> {
 public:
  explicit SelectiveKernelImpl(const SelectiveKernelOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  SelectiveKernelOptions options;  // with the zero resolved

  class PathImpl : public Module<PathImpl> {
   public:
    explicit PathImpl(const Conv2dOptions& options) : options(options) { reset(); }
    void reset() override;
    void pack() override { conv->pack_with(bn.get()); }
    at::Tensor forward(const at::Tensor& x) { return conv_norm(conv.ptr(), bn.ptr(), x, Activation::relu); }

    Conv2dOptions options;
    Conv2d conv = nullptr;
    BatchNorm2d bn = nullptr;
  };
  class PathsImpl : public Module<PathsImpl> {
   public:
    explicit PathsImpl(const SelectiveKernelOptions& options) : options(options) { reset(); }
    void reset() override;

    SelectiveKernelOptions options;
    std::vector<std::shared_ptr<PathImpl>> list;
  };
  class SelectImpl : public Module<SelectImpl> {
   public:
    explicit SelectImpl(const SelectiveKernelOptions& options) : options(options) { reset(); }
    void reset() override;
    at::Tensor forward(const at::Tensor& sum);  // [B,C',h,w] → [B,paths,C',1,1]

    SelectiveKernelOptions options;
    Conv2d fc_reduce = nullptr;
    BatchNorm2d bn = nullptr;
    Conv2d fc_select = nullptr;
  };
  std::shared_ptr<PathsImpl> paths;
  std::shared_ptr<SelectImpl> attn;
};
FOVEA_MODULE(SelectiveKernel);

}  // namespace fovea
