#include "fovea/modules/attention/coverage.h"

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

void check_steps(const char* function, const at::Tensor& weights) {
  require(weights.defined() && weights.dim() == 3, ErrorKind::data, "{}: expected weights [B,T,M], got {}", function,
          shape_text(weights));
}

}  // namespace

CoverageAttentionImpl::CoverageAttentionImpl(const CoverageAttentionOptions& options) : options(options) {
  reset();
}

void CoverageAttentionImpl::reset() {
  score = register_module("score", ScoreFunction({.kind = Score::additive,
                                                  .query_width = options.query_width,
                                                  .key_width = options.key_width,
                                                  .hidden = options.hidden}));
  coverage =
      register_module("coverage", Linear({.in_features = 1, .out_features = score->options.hidden, .bias = false}));
}

CoverageStep CoverageAttentionImpl::forward(const at::Tensor& query, const at::Tensor& prepared,
                                            const at::Tensor& values, const at::Tensor& before,
                                            const at::Tensor& mask) {
  const bool fits = query.dim() == 2 && prepared.dim() == 3 && values.dim() == 3 && prepared.size(0) == query.size(0) &&
                    values.size(0) == query.size(0) && values.size(1) == prepared.size(1) &&
                    prepared.size(2) == score->options.hidden;
  require(fits, ErrorKind::data,
          "CoverageAttention: expected query [B,q], prepared [B,M,{}], values [B,M,e], got {}, {}, {}",
          score->options.hidden, shape_text(query), shape_text(prepared), shape_text(values));
  const auto is_row = [&](const at::Tensor& t) {
    return !t.defined() || (t.dim() == 2 && t.size(0) == prepared.size(0) && t.size(1) == prepared.size(1));
  };
  require(is_row(before) && is_row(mask) && (!mask.defined() || mask.scalar_type() == at::kBool), ErrorKind::data,
          "CoverageAttention: coverage {} and bool mask {} do not fit prepared {}", shape_text(before),
          shape_text(mask), shape_text(prepared));
  const auto covered = before.defined() ? before : at::zeros_like(prepared.select(2, 0));
  const auto keys = hide_rows(prepared, mask) + coverage->forward(covered.unsqueeze(-1));
  const auto weights = masked_softmax(score->score(query.unsqueeze(1), keys).squeeze(1), mask);  // [B,M]
  const auto context = at::matmul(weights.unsqueeze(1), hide_rows(values, mask)).squeeze(1);
  if (recording::wanted(this)) recording::add(this, MapKind::tokens, weights.unsqueeze(1).unsqueeze(1));
  return {context, weights, covered + weights};
}

at::Tensor repetition_loss(const at::Tensor& weights) {
  check_steps("repetition_loss", weights);
  const auto before = weights.cumsum(1) - weights;  // c_t
  return at::minimum(weights, before).sum({1, 2}).mean();
}

at::Tensor omission_loss(const at::Tensor& weights, const at::Tensor& mask) {
  check_steps("omission_loss", weights);
  require(!mask.defined() || (mask.scalar_type() == at::kBool && mask.dim() == 2 && mask.size(0) == weights.size(0) &&
                              mask.size(1) == weights.size(2)),
          ErrorKind::data, "omission_loss: expected mask bool [{},{}], got {}", weights.size(0), weights.size(2),
          shape_text(mask));
  auto missing = (1 - weights.sum(1)).square();  // [B,M]
  if (mask.defined()) missing = missing * mask;
  return missing.sum(1).mean();
}

}  // namespace fovea
