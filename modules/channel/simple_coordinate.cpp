#include "fovea/modules/channel/simple_coordinate.h"

#include "fovea/modules/error.h"

namespace fovea {

SimpleCoordinateImpl::SimpleCoordinateImpl(const SimpleCoordinateOptions& options) : options(options) {
  require(options.channels > 0 && options.reduction > 0 && options.divisor > 0, ErrorKind::usage,
          "SimpleCoordinate: channels {}, reduction {} and divisor {} must be positive", options.channels,
          options.reduction, options.divisor);
  reset();
}

void SimpleCoordinateImpl::reset() {
  const int64_t width = squeeze_width(options.channels, options.reduction, options.divisor);
  fc1 = register_module("fc1", Linear({.in_features = options.channels, .out_features = width}));
  fc_h = register_module("fc_h", Linear({.in_features = width, .out_features = options.channels}));
  fc_w = register_module("fc_w", Linear({.in_features = width, .out_features = options.channels}));
}

at::Tensor SimpleCoordinateImpl::forward(const at::Tensor& x) {
  detail::check_input("SimpleCoordinate", x, options.channels, fc1->weight);
  const auto features = [&](int64_t side) {  // [B,C,h,w] → [B,h or w,r]
    return at::silu(fc1->forward(x.mean(side).transpose(1, 2)));
  };
  const auto rows = fc_h->forward(features(3)).transpose(1, 2).unsqueeze(3);     // [B,C,h,1]
  const auto columns = fc_w->forward(features(2)).transpose(1, 2).unsqueeze(2);  // [B,C,1,w]
  return detail::scaled(this, MapKind::feature, x, apply_gate(rows + columns, options.gate));
}

}  // namespace fovea
