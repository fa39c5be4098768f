// Lambda layer: the map becomes a small linear function for each pixel, which its query is put through.
#pragma once

#include "fovea/modules/inference/conv2d.h"

namespace fovea {

struct LambdaLayerOptions {
  int64_t channels = 0;
  int64_t out_channels = 0;  // 0: channels; a multiple of heads
  int64_t heads = 4;
  int64_t head_width = 16;  // K of queries and keys
  int64_t reach = 9;        // side of the neighbourhood whose places count, pixels, odd
  int64_t stride = 1;       // 1, or 2: a mean over 2×2 pixels follows
  bool qkv_bias = false;
};

// y_n = (λ + λ_n)ᵀ·q_n for each head, with the content λ = Σ_m softmax_m(k_m)·v_mᵀ, one for all pixels and heads, and
// the place's λ_n = Σ_m e_{m−n}·v_mᵀ over the reach² neighbours, a convolution of v with K learned kernels; q and v are
// batch-normalised, v is C'/heads wide. [B,C,h,w] → [B,C',h/stride,w/stride]; no pair of pixels is ever held. The
// recorder gets softmax(k) as [B,K,1,h·w]: what each of the K summaries reads.
//
// Keys `qkv.weight`, `norm_q.*`, `norm_v.*`, `conv_lambda.weight` [K,1,reach,reach,1], `conv_lambda.bias` (timm's
// LambdaLayer). Throws Error(usage) for options that do not go together, Error(data) naming the shape of x.
// Bello, LambdaNetworks: Modeling Long-Range Interactions Without Attention, 2021, https://arxiv.org/abs/2102.08602
class LambdaLayerImpl : public Module<LambdaLayerImpl> {
 public:
  explicit LambdaLayerImpl(const LambdaLayerOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  LambdaLayerOptions options;  // with the zero resolved

  class PlacesImpl : public Module<PlacesImpl> {
   public:
    PlacesImpl(int64_t width, int64_t reach) : width(width), reach(reach) { reset(); }
    void reset() override;
    at::Tensor forward(const at::Tensor& v);  // [B,V,h,w] → [B,h·w,K,V]

    int64_t width, reach;
    at::Tensor weight, bias;
  };
  Conv2d qkv = nullptr;
  BatchNorm2d norm_q = nullptr, norm_v = nullptr;
  std::shared_ptr<PlacesImpl> conv_lambda;

 private:
  int64_t value_width() const { return options.out_channels / options.heads; }
};
FOVEA_MODULE(LambdaLayer);

}  // namespace fovea
