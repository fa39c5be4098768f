#include "fovea/modules/channel/coordinate.h"

#include "fovea/modules/error.h"

namespace fovea {

CoordinateAttentionImpl::CoordinateAttentionImpl(const CoordinateAttentionOptions& options) : options(options) {
  require(options.channels > 0 && options.reduction > 0 && options.divisor > 0, ErrorKind::usage,
          "CoordinateAttention: channels {}, reduction {} and divisor {} must be positive", options.channels,
          options.reduction, options.divisor);
  reset();
}

void CoordinateAttentionImpl::reset() {
  const int64_t width = squeeze_width(options.channels, options.reduction, options.divisor);
  const auto product = [](int64_t in, int64_t out) {
    return Conv2d({.in_channels = in, .out_channels = out, .bias = false});
  };
  conv1 = register_module("conv1", product(options.channels, width));
  bn1 = register_module("bn1", BatchNorm2d({.channels = width}));
  conv_h = register_module("conv_h", product(width, options.channels));
  conv_w = register_module("conv_w", product(width, options.channels));
}

at::Tensor CoordinateAttentionImpl::forward(const at::Tensor& x) {
  detail::check_input("CoordinateAttention", x, options.channels, conv1->weight);
  const auto rows = x.mean(3, /*keepdim=*/true);                                // [B,C,h,1]
  const auto columns = x.mean(2, /*keepdim=*/true).transpose(2, 3);             // [B,C,w,1]
  const auto both = bn1->forward(conv1->forward(at::cat({rows, columns}, 2)));  // [B,r,h+w,1]
  const auto parts = at::hardswish(both).split_with_sizes({x.size(2), x.size(3)}, 2);
  const auto by_row = apply_gate(conv_h->forward(parts[0]), options.gate);                     // [B,C,h,1]
  const auto by_column = apply_gate(conv_w->forward(parts[1].transpose(2, 3)), options.gate);  // [B,C,1,w]
  return detail::scaled(this, MapKind::feature, x, by_row * by_column);
}

}  // namespace fovea
