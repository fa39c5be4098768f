#include "fovea/modules/position/transformer_xl.h"

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/position/offsets.h"
#include "fovea/modules/position/sinusoidal.h"
#include "fovea/modules/shape.h"

namespace fovea {

TransformerXlPositionImpl::TransformerXlPositionImpl(const TransformerXlPositionOptions& given) : options(given) {
  if (options.width == 0) options.width = options.heads * options.head_width;
  require(options.heads > 0 && options.head_width > 0 && options.width > 0 && options.width % 2 == 0, ErrorKind::usage,
          "TransformerXlPosition: heads {} and head_width {} must be positive, width {} even", options.heads,
          options.head_width, options.width);
  reset();
}

void TransformerXlPositionImpl::reset() {
  r = register_module(
      "r", Linear({.in_features = options.width, .out_features = options.heads * options.head_width, .bias = false}));
  u = register_parameter("u", init_truncated_normal({options.heads, options.head_width}, 0.02));
  v = register_parameter("v", init_truncated_normal({options.heads, options.head_width}, 0.02));
}

PositionEncoding::Turned TransformerXlPositionImpl::rotate(const at::Tensor& q, const at::Tensor& k,
                                                           const PositionArgs&) const {
  require(q.size(1) == options.heads && q.size(3) == options.head_width, ErrorKind::data,
          "TransformerXlPosition: expected q [B,{},N,{}], got {}", options.heads, options.head_width, shape_text(q));
  return {q + u.unsqueeze(1), k};
}

at::Tensor TransformerXlPositionImpl::bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const {
  const auto distance = -offsets(q, k, args);  // i − j, [N,M]
  if (distance.numel() == 0) return {};
  const int64_t least = distance.min().item<int64_t>(), most = distance.max().item<int64_t>();
  const auto waves =
      sinusoidal_positions(most - least + 1, options.width, {.layout = SinusoidLayout::halves, .first = least});
  const auto places = at::linear(waves.to(r->weight.options()), r->weight)  // [T,H·d]
                          .view({-1, options.heads, options.head_width})
                          .permute({1, 2, 0});  // [H,d,T]
  const auto products = at::matmul(q + v.unsqueeze(1), places) / std::sqrt(static_cast<double>(options.head_width));
  const auto index = (distance - least).expand({q.size(0), q.size(1), distance.size(0), distance.size(1)});
  return products.gather(-1, index);  // [B,H,N,T] → [B,H,N,M]
}

}  // namespace fovea
