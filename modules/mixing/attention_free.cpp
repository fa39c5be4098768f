#include "fovea/modules/mixing/attention_free.h"

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/at_least_float.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

constexpr double kLeast = 1e-30;  // of a normaliser, e^−69

}  // namespace

AttentionFreeImpl::AttentionFreeImpl(const AttentionFreeOptions& given) : options(given) {
  require(options.dim > 0 && options.hidden >= 0 && options.tokens >= 0 && options.rank >= 0, ErrorKind::usage,
          "AttentionFree: dim {} must be positive, hidden {}, tokens {} and rank {} not negative", options.dim,
          options.hidden, options.tokens, options.rank);
  require(options.rank == 0 || options.tokens > 0, ErrorKind::usage,
          "AttentionFree: rank {} is of AFT-full, which needs the number of tokens", options.rank);
  if (options.hidden == 0) options.hidden = options.dim;
  reset();
}

void AttentionFreeImpl::reset() {
  const auto product = [&](const char* name, int64_t in, int64_t out) {
    return register_module(name, Linear({.in_features = in, .out_features = out}));
  };
  q = product("q", options.dim, options.hidden);
  k = product("k", options.dim, options.hidden);
  v = product("v", options.dim, options.hidden);
  proj = product("proj", options.hidden, options.dim);
  w = u = r = at::Tensor();
  if (options.tokens == 0) return;
  const auto table = [&](const char* name, int64_t columns) {
    return register_parameter(name, init_truncated_normal({options.tokens, columns}, 0.02));
  };
  if (options.rank == 0) {
    w = table("w", options.tokens);
  } else {
    u = table("u", options.rank);
    r = table("r", options.rank);
  }
}

// exp(w_ij − max_j w_ij) [N,N], 0 where token i may not look.
at::Tensor AttentionFreeImpl::pair_weights(int64_t tokens) const {
  auto scores = w.defined() ? w.narrow(0, 0, tokens).narrow(1, 0, tokens)
                            : at::matmul(u.narrow(0, 0, tokens), r.narrow(0, 0, tokens).t());
  scores = detail::at_least_float(scores);
  if (options.causal) {
    const auto later = at::ones({tokens, tokens}, scores.options().dtype(at::kBool)).triu(1);
    scores = scores.masked_fill(later, -INFINITY);
  }
  return at::exp(scores - scores.detach().amax(1, /*keepdim=*/true));
}

at::Tensor AttentionFreeImpl::forward(const at::Tensor& x, const at::Tensor& mask) {
  require(x.dim() == 3 && x.size(2) == options.dim && x.size(1) > 0, ErrorKind::data,
          "AttentionFree: expected x [B,N,{}], got {}", options.dim, shape_text(x));
  const int64_t N = x.size(1);
  require(options.tokens == 0 || N <= options.tokens, ErrorKind::data,
          "AttentionFree: {} tokens, but the weights of places were made for {}", N, options.tokens);
  require(!mask.defined() || (mask.scalar_type() == at::kBool && mask.sizes() == x.sizes().slice(0, 2)),
          ErrorKind::data, "AttentionFree: expected mask bool [B,N], got {} for x {}", shape_text(mask), shape_text(x));
  const auto shown = hide_rows(x, mask);
  auto scores = detail::at_least_float(k->forward(shown));  // [B,N,E]
  if (mask.defined()) scores = scores.masked_fill(mask.logical_not().unsqueeze(-1), -INFINITY);
  // −∞ everywhere where no token is left.
  const auto largest = scores.detach().amax(1, /*keepdim=*/true).clamp_min(std::numeric_limits<float>::lowest());
  const auto keys = at::exp(scores - largest);
  const auto values = keys * detail::at_least_float(v->forward(shown));
  const bool full = options.tokens > 0;
  const auto pairs = full ? pair_weights(N) : at::Tensor();
  const auto gathered = [&](const at::Tensor& t) {  // Σ_j over what each token sees
    if (full) return at::matmul(pairs, t);
    return options.causal ? t.cumsum(1) : t.sum(1, /*keepdim=*/true);
  };
  const auto total = gathered(keys).clamp_min(kLeast);
  if (recording::wanted(this)) {
    // Σ_c exp(w_ij)·exp(k_jc)/total_ic is a product over the channels.
    auto map = at::matmul((1 / total).expand_as(keys), keys.transpose(1, 2)) / options.hidden;
    if (full) map = map * pairs;
    if (!full && options.causal) map = map.tril();
    const auto rows = recording::queries();
    if (!rows.empty()) map = map.index_select(1, at::tensor(rows, map.options().dtype(at::kLong)));
    recording::add(this, MapKind::tokens, map.unsqueeze(1), rows);
  }
  const auto mixed = (gathered(values) / total).to(x.scalar_type());
  return proj->forward(at::sigmoid(q->forward(shown)) * mixed);
}

}  // namespace fovea
