// Efficient channel attention: each channel's gate is computed from the means of its neighbours among the channels.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/module.h"

namespace fovea {

struct EcaOptions {
  int64_t channels = 0;
  int64_t kernel = 0;     // neighbours that one gate reads, odd; 0: the paper's choice, eca_kernel(channels)
  bool circular = false;  // the first channel is the last one's neighbour (timm's ceca); false: zeros beyond the ends
  int64_t hidden = 0;     // > 0: a layer of this width and a ReLU before the convolution (timm's ecam)
  Gate gate = Gate::sigmoid;
};

// |log₂C + 1|/2, rounded down, made odd upwards, at least 3.
int64_t eca_kernel(int64_t channels);

// x·gate(conv1d(mean(x))), the mean over pixels, the convolution along the channels. [B,C,h,w] → same.
//
// Keys `conv.weight` [1,1,k]; with `hidden` `conv.weight` [hidden,1,1], `conv.bias`, `conv2.weight` [1,hidden,k],
// `conv2.bias` (timm's EcaModule, CecaModule). Throws Error(usage) for an even kernel and widths that are not positive,
// Error(data) naming the shape of x.
// Wang et al., ECA-Net, 2020, https://arxiv.org/abs/1910.03151
class EcaImpl : public Module<EcaImpl>, public ConstantGate {
 public:
  explicit EcaImpl(const EcaOptions& options);
  void reset() override;
  double make_constant() override;
  at::Tensor forward(const at::Tensor& x);

  EcaOptions options;  // with the zero of kernel resolved

  // One convolution along the channels, of torch's Conv1d names.
  class ConvImpl : public Module<ConvImpl> {
   public:
    ConvImpl(int64_t in, int64_t out, int64_t kernel, bool bias);
    void reset() override;

    std::array<int64_t, 3> shape;
    bool with_bias;
    at::Tensor weight;  // [out,in,k]
    at::Tensor bias;    // [out] or undefined
  };
  std::shared_ptr<ConvImpl> conv;
  std::shared_ptr<ConvImpl> conv2;  // null without a hidden layer
};
FOVEA_MODULE(Eca);

}  // namespace fovea
