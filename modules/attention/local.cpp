#include "fovea/modules/attention/local.h"

#include "fovea/modules/at_least_float.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// Rows `index` [B,N,w] of t [B,S,d] → [B,N,w,d].
at::Tensor rows_at(const at::Tensor& t, const at::Tensor& index) {
  const auto batch = at::arange(t.size(0), index.options()).view({-1, 1, 1}) * t.size(1);
  const auto rows = t.reshape({-1, t.size(2)}).index_select(0, (index + batch).flatten());
  return rows.view({index.size(0), index.size(1), index.size(2), t.size(2)});
}

}  // namespace

LocalAttentionImpl::LocalAttentionImpl(const LocalAttentionOptions& given) : options(given) {
  require(options.half_width > 0, ErrorKind::usage, "LocalAttention: half_width {} must be positive",
          options.half_width);
  require(options.score.kind != Score::location, ErrorKind::usage, "LocalAttention: a location score knows no window");
  if (options.hidden == 0) options.hidden = options.score.query_width;
  reset();
}

void LocalAttentionImpl::reset() {
  score = register_module("score", ScoreFunction(options.score));
  position = nullptr;
  v_p = at::Tensor();
  if (!options.predictive) return;
  position = register_module(
      "position", Linear({.in_features = options.score.query_width, .out_features = options.hidden, .bias = false}));
  v_p = register_parameter("v_p", init_fan_in_uniform({options.hidden}, options.hidden));
}

LocalAttentionResult LocalAttentionImpl::forward(const at::Tensor& query, const at::Tensor& keys,
                                                 const at::Tensor& values, const LocalAttentionArgs& args) {
  require(query.dim() == 3 && keys.dim() == 3 && values.dim() == 3 && keys.size(0) == query.size(0) &&
              values.size(0) == query.size(0) && values.size(1) == keys.size(1) && keys.size(1) > 0,
          ErrorKind::data, "LocalAttention: expected query [B,N,q], keys [B,S,k], values [B,S,e], got {}, {}, {}",
          shape_text(query), shape_text(keys), shape_text(values));
  const int64_t B = query.size(0), N = query.size(1), S = keys.size(1), D = options.half_width;
  const auto integers = query.options().dtype(at::kLong);
  auto lengths = at::full({B, 1}, S, integers);
  if (args.lengths.defined()) {
    require(args.lengths.dim() == 1 && args.lengths.size(0) == B, ErrorKind::data,
            "LocalAttention: lengths {} do not fit query {}", shape_text(args.lengths), shape_text(query));
    lengths = args.lengths.unsqueeze(1);
  }
  at::Tensor center;  // [B,N], float32 at least: bfloat16 counts to 256
  if (options.predictive) {
    const auto hidden = at::tanh(detail::at_least_float(position->forward(query)));
    center = lengths * at::sigmoid((hidden * v_p).sum(-1));
  } else {
    const auto type = at::promote_types(query.scalar_type(), at::kFloat);
    center = (at::arange(N, integers) + args.first).to(type).expand({B, N});
  }
  const auto start = at::ceil(center.detach().to(at::kDouble) - D).to(at::kLong);  // [B,N]
  const auto places = start.unsqueeze(-1) + at::arange(2 * D + 1, integers);       // [B,N,2D+1]
  const auto allowed = places.ge(0)
                           .logical_and(places.lt(lengths.unsqueeze(-1)))
                           .logical_and(places.le(center.detach().to(at::kDouble).unsqueeze(-1) + D));
  const auto index = places.clamp(0, S - 1);
  const auto scores =
      score->forward(query.unsqueeze(2), hide_rows(rows_at(keys, index), allowed)).squeeze(2);  // [B,N,2D+1]
  auto weights = masked_softmax(scores, allowed);
  if (options.predictive) {
    const double sigma = static_cast<double>(D) / 2;
    const auto distance = places.to(center.scalar_type()) - center.unsqueeze(-1);
    weights = (weights * at::exp(-distance.square() / (2 * sigma * sigma))).to(scores.scalar_type());
  }
  const auto context = at::matmul(weights.unsqueeze(2), hide_rows(rows_at(values, index), allowed)).squeeze(2);
  if (recording::wanted(this)) {
    const auto map = at::zeros({B, N, S}, weights.options()).scatter_add(2, index, weights);
    recording::add(this, MapKind::tokens, map.unsqueeze(1));
  }
  return {context, weights, start, center};
}

}  // namespace fovea
