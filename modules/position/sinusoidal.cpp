#include "fovea/modules/position/sinusoidal.h"

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

at::Tensor waves(const at::Tensor& places, int64_t width, const SinusoidOptions& options) {
  const auto frequencies = at::exp(at::arange(0, width, 2, at::kDouble) * (-std::log(options.base) / width));
  const auto angles = places.to(at::kDouble).unsqueeze(-1) * frequencies;  // [N,D/2]
  const auto both = std::vector<at::Tensor>{at::sin(angles), at::cos(angles)};
  const auto table = options.layout == SinusoidLayout::halves ? at::cat(both, -1) : at::stack(both, -1).flatten(-2);
  return table.to(at::kFloat);
}

}  // namespace

at::Tensor sinusoidal_positions(int64_t count, int64_t width, const SinusoidOptions& options) {
  require(count >= 0 && width > 0 && width % 2 == 0 && options.base > 1, ErrorKind::usage,
          "sinusoidal_positions: count {}, width {} and base {} do not make sines and cosines", count, width,
          options.base);
  return waves(at::arange(options.first, options.first + count, at::kLong), width, options);
}

at::Tensor sinusoidal_grid(int64_t height, int64_t width, int64_t channels, const SinusoidOptions& options) {
  require(height > 0 && width > 0 && channels > 0 && channels % 4 == 0 && options.base > 1, ErrorKind::usage,
          "sinusoidal_grid: {}x{} places of {} channels and base {} do not make sines and cosines", height, width,
          channels, options.base);
  const auto rows = waves(at::arange(options.first, options.first + height, at::kLong), channels / 2, options);
  const auto columns = waves(at::arange(options.first, options.first + width, at::kLong), channels / 2, options);
  return at::cat({rows.unsqueeze(1).expand({height, width, -1}), columns.expand({height, width, -1})}, -1)
      .flatten(0, 1);
}

at::Tensor sinusoidal_start(int64_t height, int64_t width, int64_t channels) {
  return sinusoidal_grid(height, width, channels, {.base = 10}) / 2;
}

LearnedPositionsImpl::LearnedPositionsImpl(const LearnedPositionsOptions& options) : options(options) {
  require(options.count > 0 && options.width > 0, ErrorKind::usage,
          "LearnedPositions: count {} and width {} must be positive", options.count, options.width);
  reset();
}

void LearnedPositionsImpl::reset() {
  weight = register_parameter("weight", init_truncated_normal({options.count, options.width}, 0.02));
}

at::Tensor LearnedPositionsImpl::forward(const at::Tensor& x, int64_t first) {
  require(x.dim() == 3 && x.size(2) == options.width, ErrorKind::data, "LearnedPositions: expected [B,N,{}], got {}",
          options.width, shape_text(x));
  require(first >= 0 && first + x.size(1) <= options.count, ErrorKind::data,
          "LearnedPositions: places {}…{} do not lie in the table of {}", first, first + x.size(1) - 1, options.count);
  return x + weight.narrow(0, first, x.size(1));
}

}  // namespace fovea
