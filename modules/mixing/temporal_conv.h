// Temporal convolution network: residual blocks of causal convolutions whose taps lie ever farther apart.
#pragma once

#include "fovea/modules/mixing/causal_conv.h"

namespace fovea {

struct TemporalConvOptions {
  int64_t in_channels = 0;
  std::vector<int64_t> channels = {};  // of each block; required
  int64_t kernel = 2;                  // taps
  double dropout = 0;                  // after each activation
};

// Block l: relu(res(x) + f(f(x))) with f = dropout(relu(causal convolution of dilation 2^l, weight-normalised)) and res
// the identity, or a 1×1 product where the channels change. x [B,N,in] → [B,N,last]. A token sees the
// receptive_field() = 1 + 2·(kernel − 1)·(2^blocks − 1) tokens that end with it, no matter what N.
//
// Keys `network.0.conv1.weight_g`, `.weight_v`, `.bias`, `.conv2…`, `.downsample.weight` [out,in,1], `.bias` (the
// authors'). Throws Error(usage) for channels and dropout that cannot be, Error(data) naming the shape of x.
// Bai et al., An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling, 2018,
// https://arxiv.org/abs/1803.01271
class TemporalConvImpl : public Module<TemporalConvImpl> {
 public:
  explicit TemporalConvImpl(const TemporalConvOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);
  int64_t receptive_field() const;

  class BlockImpl : public Module<BlockImpl> {
   public:
    BlockImpl(const CausalConv1dOptions& first, double dropout) : first(first), dropout(dropout) { reset(); }
    void reset() override;
    at::Tensor forward(const at::Tensor& x);

    CausalConv1dOptions first;
    double dropout;
    CausalConv1d conv1 = nullptr, conv2 = nullptr;
    CausalConv1d downsample = nullptr;  // null where the channels stay
  };
  class NetworkImpl : public Module<NetworkImpl> {
   public:
    explicit NetworkImpl(const TemporalConvOptions& options) : options(options) { reset(); }
    void reset() override;

    TemporalConvOptions options;
    std::vector<std::shared_ptr<BlockImpl>> blocks;
  };

  TemporalConvOptions options;
  std::shared_ptr<NetworkImpl> network;
};
FOVEA_MODULE(TemporalConv);

}  // namespace fovea
