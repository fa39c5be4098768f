// A convolution along the tokens that never looks ahead.
#pragma once

#include "fovea/modules/module.h"

namespace fovea {

struct CausalConv1dOptions {
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t kernel = 1;    // taps
  int64_t dilation = 1;  // tokens between two taps
  int64_t groups = 1;
  bool bias = true;
  bool weight_norm = false;  // W = g·v/‖v‖, the norm over the inputs and taps of an output
};

// y_t = Σ_i W_i·x_{t−(kernel−1−i)·dilation} + b, zeros before the first token. x [B,N,in] → [B,N,out]. Keys `weight`
// [out,in/groups,kernel] and `bias` [out], with weight_norm `weight_v` and `weight_g` [out,1,1] in place of `weight`
// (torch's). The recorder gets the size of each tap, Σ|W| over its inputs and outputs, by the share of its token
// (mixing_matrix.h); a kernel of one tap mixes nothing and records nothing. Throws Error(usage) for numbers that do not
// go together, Error(data) naming the shape of x. Salimans and Kingma, Weight Normalization, 2016,
// https://arxiv.org/abs/1602.07868
class CausalConv1dImpl : public Module<CausalConv1dImpl> {
 public:
  explicit CausalConv1dImpl(const CausalConv1dOptions& options);
  void reset() override;

  at::Tensor forward(const at::Tensor& x);
  // Behind `before` [B,(kernel − 1)·dilation,in], the tokens that came before x.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& before);

  int64_t reach() const { return (options.kernel - 1) * options.dilation; }  // tokens behind the newest that are read

  CausalConv1dOptions options;
  at::Tensor weight;  // undefined with weight_norm
  at::Tensor weight_v;
  at::Tensor weight_g;
  at::Tensor bias;

 private:
  at::Tensor kernel() const;  // [out,in/groups,kernel]
  at::Tensor convolved(const at::Tensor& padded, const at::Tensor& x) const;
};
FOVEA_MODULE(CausalConv1d);

}  // namespace fovea
