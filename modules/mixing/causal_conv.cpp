#include "fovea/modules/mixing/causal_conv.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/at_least_float.h"
#include "fovea/modules/mixing/mixing_matrix.h"
#include "fovea/modules/shape.h"

namespace fovea {

CausalConv1dImpl::CausalConv1dImpl(const CausalConv1dOptions& options) : options(options) {
  const auto& o = options;
  require(o.in_channels > 0 && o.out_channels > 0 && o.kernel > 0 && o.dilation > 0 && o.groups > 0, ErrorKind::usage,
          "CausalConv1d: in_channels {}, out_channels {}, kernel {}, dilation {} and groups {} must be positive",
          o.in_channels, o.out_channels, o.kernel, o.dilation, o.groups);
  require(o.in_channels % o.groups == 0 && o.out_channels % o.groups == 0, ErrorKind::usage,
          "CausalConv1d: groups {} must divide in_channels {} and out_channels {}", o.groups, o.in_channels,
          o.out_channels);
  reset();
}

void CausalConv1dImpl::reset() {
  const std::vector<int64_t> shape = {options.out_channels, options.in_channels / options.groups, options.kernel};
  weight = weight_v = weight_g = bias = at::Tensor();
  if (options.weight_norm) {
    weight_v = register_parameter("weight_v", init_truncated_normal(shape, 0.01));
    weight_g = register_parameter("weight_g", weight_v.detach().norm(2, {1, 2}, /*keepdim=*/true));
  } else {
    weight = register_parameter("weight", init_kaiming_uniform(shape));
  }
  if (options.bias) {
    bias = register_parameter("bias", init_fan_in_uniform({options.out_channels}, shape[1] * shape[2]));
  }
}

at::Tensor CausalConv1dImpl::kernel() const {
  return options.weight_norm ? weight_v * (weight_g / weight_v.norm(2, {1, 2}, /*keepdim=*/true)) : weight;
}

// x: the last tokens of `padded`, those of the result.
at::Tensor CausalConv1dImpl::convolved(const at::Tensor& padded, const at::Tensor& x) const {
  const auto taps = kernel();
  const auto convolve = [groups = options.groups](const at::Tensor& t, const at::Tensor& by, const at::Tensor& b,
                                                  int64_t dilation) {
    return at::conv1d(t.transpose(1, 2), by, b, /*stride=*/1, at::IntArrayRef{0}, dilation, groups).transpose(1, 2);
  };
  const auto y = convolve(padded, taps, bias, options.dilation);
  if (options.kernel == 1) return y;
  detail::record_mixing(this, y, [&] {
    std::vector<int64_t> distances;
    for (int64_t tap = options.kernel - 1; tap >= 0; --tap) distances.push_back(tap * options.dilation);
    const auto enter = [=](int64_t tap) { return convolve(x, taps.narrow(2, tap, 1), {}, 1); };
    return detail::matrix_of({distances, detail::at_least_float(taps).abs().sum(at::IntArrayRef({0, 1})), enter},
                             x.size(1));
  });
  return y;
}

at::Tensor CausalConv1dImpl::forward(const at::Tensor& x) {
  require(x.dim() == 3 && x.size(2) == options.in_channels, ErrorKind::data,
          "CausalConv1d: expected x [B,N,{}], got {}", options.in_channels, shape_text(x));
  return convolved(at::constant_pad_nd(x, {0, 0, reach(), 0}), x);
}

at::Tensor CausalConv1dImpl::forward(const at::Tensor& x, const at::Tensor& before) {
  require(x.dim() == 3 && x.size(2) == options.in_channels && before.dim() == 3 && before.size(0) == x.size(0) &&
              before.size(1) == reach() && before.size(2) == options.in_channels,
          ErrorKind::data, "CausalConv1d: expected x [B,N,{0}] behind [B,{1},{0}], got {2}, {3}", options.in_channels,
          reach(), shape_text(x), shape_text(before));
  return convolved(at::cat({before, x}, 1), x);
}

}  // namespace fovea
