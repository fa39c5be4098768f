#include "fovea/modules/position/rotary.h"

#include <ATen/ATen.h>

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// x […,N,d] turned by angles [N,d/2].
at::Tensor turned(const at::Tensor& x, const at::Tensor& angles, RotaryPairs pairs) {
  const auto cos = at::cos(angles).to(x.scalar_type()), sin = at::sin(angles).to(x.scalar_type());
  if (pairs == RotaryPairs::halves) {
    const auto halves = x.chunk(2, -1);
    return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
  }
  const auto two = x.unflatten(-1, {-1, 2});
  const auto even = two.select(-1, 0), odd = two.select(-1, 1);
  return at::stack({even * cos - odd * sin, odd * cos + even * sin}, -1).flatten(-2);
}

// places [N] of channels d → [N,d/2].
at::Tensor angles_of(const at::Tensor& places, int64_t d, double base) {
  const auto frequencies =
      at::exp(at::arange(0, d, 2, places.options().dtype(at::kDouble)) * (-std::log(base) / static_cast<double>(d)));
  return places.to(at::kDouble).unsqueeze(-1) * frequencies;
}

}  // namespace

RotaryPosition::RotaryPosition(const RotaryOptions& options) : options(options) {
  require((options.dimensions == 1 || options.dimensions == 2) && options.base > 1, ErrorKind::usage,
          "RotaryPosition: dimensions {} must be 1 or 2, base {} more than 1", options.dimensions, options.base);
}

PositionEncoding::Turned RotaryPosition::rotate(const at::Tensor& q, const at::Tensor& k,
                                                const PositionArgs& args) const {
  const int64_t d = q.size(-1), N = q.size(-2), M = k.size(-2);
  require(d % (2 * options.dimensions) == 0, ErrorKind::data,
          "RotaryPosition: a head of width {} does not divide into pairs for {} dimensions", d, options.dimensions);
  const auto integers = at::TensorOptions(at::kLong).device(q.device());
  if (options.dimensions == 1) {
    const auto place = [&](int64_t first, int64_t count) {
      return angles_of(at::arange(first, first + count, integers), d, options.base);
    };
    return {turned(q, place(args.first.value_or(M - N), N), options.pairs), turned(k, place(0, M), options.pairs)};
  }
  require(args.height > 0 && args.width > 0 && N == M && N == args.prefix + args.height * args.width, ErrorKind::data,
          "RotaryPosition: q {} and k {} are no grid of {}x{} behind {} tokens", shape_text(q), shape_text(k),
          args.height, args.width, args.prefix);
  const auto places = at::arange(N - args.prefix, integers);
  const auto by_row = angles_of(places.div(args.width, "floor"), d / 2, options.base);  // [N,d/4]
  const auto by_column = angles_of(places.remainder(args.width), d / 2, options.base);
  const auto both = [&](const at::Tensor& x) {
    const auto grid = x.narrow(-2, args.prefix, N - args.prefix).chunk(2, -1);
    const auto mixed = at::cat({turned(grid[0], by_row, options.pairs), turned(grid[1], by_column, options.pairs)}, -1);
    return args.prefix > 0 ? at::cat({x.narrow(-2, 0, args.prefix), mixed}, -2) : mixed;
  };
  return {both(q), both(k)};
}

}  // namespace fovea
