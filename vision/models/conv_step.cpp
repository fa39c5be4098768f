#include "fovea/vision/models/conv_step.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>

#include "fovea/modules/inference/init.h"

namespace fovea {
namespace {

// Zeros on both sides of a dimension, the odd one behind.
std::array<int64_t, 2> same_zeros(int64_t side, const Conv2dOptions& conv) {
  const int64_t out = (side + conv.stride - 1) / conv.stride;
  const int64_t zeros = std::max<int64_t>((out - 1) * conv.stride + conv.kernel - side, 0);
  return {zeros / 2, zeros - zeros / 2};
}

}  // namespace

ConvNormImpl::ConvNormImpl(const ConvStepOptions& options) : options(options) {
  reset();
}

void ConvNormImpl::reset() {
  step = make_conv_step(options);
  register_module("conv", step.conv);
  register_module("bn", step.bn);
}

at::Tensor ConvStep::run(const at::Tensor& x, Activation activation, const at::Tensor& residual) const {
  const auto norm = bn.is_empty() ? nullptr : bn.ptr();
  if (!same_padding) return conv_norm(conv.ptr(), norm, x, activation, residual);
  const auto rows = same_zeros(x.size(2), conv->options), columns = same_zeros(x.size(3), conv->options);
  const auto padded = at::constant_pad_nd(x, {columns[0], columns[1], rows[0], rows[1]});
  return conv_norm(conv.ptr(), norm, padded, activation, residual);
}

void ConvStep::pack() {
  conv->pack_with(bn.is_empty() ? nullptr : bn.get());
}

ConvStep make_conv_step(ConvStepOptions options) {
  // At stride 1 both ways pad an odd kernel alike.
  const bool same = options.same_padding && options.conv.stride > 1;
  if (same) options.conv.padding = 0;
  options.norm.channels = options.conv.out_channels;
  const auto empty = [&] {
    const SkipInit skip;
    return Conv2d(options.conv);
  };
  ConvStep step{.conv = empty(), .bn = BatchNorm2d(options.norm), .same_padding = same};
  step.conv->weight.set_data(init_kaiming_fan_out(step.conv->weight.sizes()));
  if (options.conv.bias) step.conv->bias.set_data(init_zeros({options.conv.out_channels}));
  return step;
}

Conv2dOptions square_conv(int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride, int64_t groups) {
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .kernel = kernel,
          .stride = stride,
          .padding = kernel / 2,
          .groups = groups,
          .bias = false};
}

}  // namespace fovea
