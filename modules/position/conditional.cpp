#include "fovea/modules/position/conditional.h"

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

void ConditionalPositionImpl::ProjImpl::reset() {
  conv = register_module("0", Conv2d({.in_channels = options.width,
                                      .out_channels = options.width,
                                      .kernel = options.kernel,
                                      .padding = options.kernel / 2,
                                      .groups = options.width}));
}

ConditionalPositionImpl::ConditionalPositionImpl(const ConditionalPositionOptions& options) : options(options) {
  require(options.width > 0 && options.kernel > 0 && options.kernel % 2 == 1, ErrorKind::usage,
          "ConditionalPosition: width {} must be positive, kernel {} odd", options.width, options.kernel);
  reset();
}

void ConditionalPositionImpl::reset() {
  proj = register_module("proj", std::make_shared<ProjImpl>(options));
}

at::Tensor ConditionalPositionImpl::forward(const at::Tensor& x, int64_t height, int64_t width, int64_t prefix) {
  require(x.dim() == 3 && x.size(2) == options.width && height > 0 && width > 0 && prefix >= 0 &&
              x.size(1) == prefix + height * width,
          ErrorKind::data, "ConditionalPosition: expected [B,{}+{}x{},{}], got {}", prefix, height, width,
          options.width, shape_text(x));
  const auto tokens = x.narrow(1, prefix, height * width);
  const auto grid = tokens.transpose(1, 2).reshape({x.size(0), options.width, height, width});
  const auto moved = tokens + proj->conv->forward(grid).flatten(2).transpose(1, 2);
  return prefix > 0 ? at::cat({x.narrow(1, 0, prefix), moved}, 1) : moved;
}

}  // namespace fovea
