// Strip attention: the means of rows and of columns, smoothed along the strip, gate every place; and efficient local
// attention, which normalises them.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/module.h"

namespace fovea {

struct StripAttentionOptions {
  int64_t channels = 0;
  int64_t kernel = 3;  // along the strip, odd; 7 for efficient local attention
  bool local = false;  // efficient local attention: silu(norm(conv)), and the product of two gates
  Gate gate = Gate::sigmoid;
};

// r = conv_h(means of rows), c = conv_w(means of columns), depthwise along the strip.
// plain: x·gate(r + c). local: x·gate(silu(norm_h(r)))·gate(silu(norm_w(c))), norms over all channels and places of an
// image. [B,C,h,w] → same. The recorder gets the gate.
//
// Keys `conv_h.weight` [C,1,k,1], `conv_w.weight` [C,1,1,k], local `norm_h.*`, `norm_w.*` (timm's StripAttn and
// EfficientLocalAttn). Throws Error(usage) for an even kernel and channels that are not positive, Error(data) naming
// the shape of x. Xu and Wan, ELA: Efficient Local Attention, 2024, https://arxiv.org/abs/2403.01123
class StripAttentionImpl : public Module<StripAttentionImpl> {
 public:
  explicit StripAttentionImpl(const StripAttentionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  StripAttentionOptions options;

  class ConvImpl : public Module<ConvImpl> {
   public:
    ConvImpl(int64_t channels, int64_t height, int64_t width) : shape{channels, 1, height, width} { reset(); }
    void reset() override;
    at::Tensor forward(const at::Tensor& x);

    std::array<int64_t, 4> shape;
    at::Tensor weight;
  };
  class NormImpl : public Module<NormImpl> {  // over an image, with a gain and a shift a channel
   public:
    explicit NormImpl(int64_t channels) : channels(channels) { reset(); }
    void reset() override;
    at::Tensor forward(const at::Tensor& x);

    int64_t channels;
    at::Tensor weight;
    at::Tensor bias;
  };
  std::shared_ptr<ConvImpl> conv_h, conv_w;
  std::shared_ptr<NormImpl> norm_h, norm_w;  // null unless local
};
FOVEA_MODULE(StripAttention);

}  // namespace fovea
