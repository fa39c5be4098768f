#include "fovea/modules/position/content_position.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"

namespace fovea {

ContentPositionImpl::ContentPositionImpl(const ContentPositionOptions& given) : options(given) {
  if (options.width == 0) options.width = options.heads * options.head_width;
  require(options.heads > 0 && options.head_width > 0 && options.places > 0 && options.width > 0, ErrorKind::usage,
          "ContentPosition: heads {}, head_width {}, places {} and width {} must be positive", options.heads,
          options.head_width, options.places, options.width);
  reset();
}

void ContentPositionImpl::reset() {
  const int64_t columns = options.heads * options.head_width;
  const auto product = [&](const char* name) {
    return register_module(name, Linear({.in_features = options.width, .out_features = columns, .bias = false}));
  };
  places = register_parameter("places", init_truncated_normal({options.places, options.width}, 0.02));
  query = product("query");
  key = product("key");
  v = at::Tensor();
  if (options.score == ContentPositionScore::additive) {
    v = register_parameter("v", init_fan_in_uniform({options.heads, options.head_width}, options.head_width));
  }
}

PositionEncoding::Turned ContentPositionImpl::with_places(const at::Tensor& q, const at::Tensor& k,
                                                          const PositionArgs& args) const {
  require(q.size(1) == options.heads && q.size(3) == options.head_width && k.size(1) == options.heads, ErrorKind::data,
          "ContentPosition: expected q and k [B,{},N,{}], got {}, {}", options.heads, options.head_width, shape_text(q),
          shape_text(k));
  const int64_t N = q.size(2), M = k.size(2), first = args.first.value_or(M - N);
  require(first >= 0 && first + N <= options.places && M <= options.places, ErrorKind::data,
          "ContentPosition: made for places 0…{}, got queries at {}…{} and {} keys", options.places - 1, first,
          first + N - 1, M);
  const auto heads = [&](const Linear& by, int64_t from, int64_t count) {  // [count,H·d] → [H,count,d]
    const auto projected = at::linear(places.narrow(0, from, count), by->weight);
    return projected.view({count, options.heads, options.head_width}).transpose(0, 1);
  };
  return {q + heads(query, first, N), k + heads(key, 0, M)};
}

PositionEncoding::Turned ContentPositionImpl::rotate(const at::Tensor& q, const at::Tensor& k,
                                                     const PositionArgs& args) const {
  // The bias of the additive score is the whole score: the product beside it has to vanish.
  if (v.defined()) return {at::zeros_like(q), at::zeros_like(k)};
  return with_places(q, k, args);
}

at::Tensor ContentPositionImpl::bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const {
  if (!v.defined()) return {};
  const auto both = with_places(q, k, args);
  const auto sums = at::tanh(both.q.unsqueeze(3) + both.k.unsqueeze(2));  // [B,H,N,M,d]
  return at::matmul(sums, v.view({1, options.heads, 1, options.head_width, 1})).squeeze(-1);
}

}  // namespace fovea
