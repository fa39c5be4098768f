#include "fovea/modules/channel/simam.h"

#include "fovea/modules/error.h"

namespace fovea {

SimamImpl::SimamImpl(const SimamOptions& options) : options(options) {
  require(options.lambda > 0, ErrorKind::usage, "Simam: lambda {} must be positive", options.lambda);
}

at::Tensor SimamImpl::forward(const at::Tensor& x) {
  detail::check_feature_map("Simam", x);
  const auto pixels = static_cast<double>(x.size(2) * x.size(3));
  const auto squares = (x - x.mean({2, 3}, /*keepdim=*/true)).square();
  const auto variance = squares.sum({2, 3}, /*keepdim=*/true) / std::max(pixels - 1, 1.0);  // [B,C,1,1]
  const auto scores = squares / (4 * (variance + options.lambda)) + 0.5;
  return detail::scaled(this, MapKind::feature, x, at::sigmoid(scores));
}

}  // namespace fovea
