#include "fovea/modules/attention/score.h"

#include <cmath>

#include "fovea/modules/at_least_float.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// The p-norm of every difference, in float32 at least (there is no kernel for less).
at::Tensor distance(const at::Tensor& q, const at::Tensor& k, double p) {
  constexpr int64_t without_products = 2;  // q² + k² − 2qk would lose the digits of near pairs
  return at::cdist(detail::at_least_float(q), detail::at_least_float(k), p, without_products).to(q.scalar_type());
}

at::Tensor unit(const at::Tensor& t) {
  const auto wide = detail::at_least_float(t);
  return (wide / wide.norm(2, {-1}, /*keepdim=*/true).clamp_min(1e-8)).to(t.scalar_type());
}

}  // namespace

ScoreFunctionImpl::ScoreFunctionImpl(const ScoreFunctionOptions& given) : options(given) {
  const auto& o = options;
  require(o.query_width > 0 && o.key_width > 0 && o.hidden >= 0, ErrorKind::usage,
          "ScoreFunction: query_width {} and key_width {} must be positive, hidden {} not negative", o.query_width,
          o.key_width, o.hidden);
  const bool free = o.kind == Score::general || o.kind == Score::additive || o.kind == Score::location;
  require(free || o.query_width == o.key_width, ErrorKind::usage,
          "ScoreFunction: this score compares vectors of one width, got query_width {} and key_width {}", o.query_width,
          o.key_width);
  require(o.kind != Score::location || o.positions > 0, ErrorKind::usage,
          "ScoreFunction: location needs the number of positions, got {}", o.positions);
  if (options.hidden == 0) options.hidden = o.key_width;
  reset();
}

void ScoreFunctionImpl::reset() {
  const auto product = [&](const char* name, int64_t in, int64_t out) {
    return register_module(name, Linear({.in_features = in, .out_features = out, .bias = false}));
  };
  query = key = nullptr;
  v = at::Tensor();
  switch (options.kind) {
    case Score::general:
      key = product("key", options.key_width, options.query_width);
      break;
    case Score::additive:
      query = product("query", options.query_width, options.hidden);
      key = product("key", options.key_width, options.hidden);
      v = register_parameter("v", init_fan_in_uniform({options.hidden}, options.hidden));
      break;
    case Score::location:
      query = product("query", options.query_width, options.positions);
      break;
    default:
      break;
  }
}

at::Tensor ScoreFunctionImpl::prepare(const at::Tensor& keys) {
  require(keys.defined() && keys.dim() >= 2 && keys.size(-1) == options.key_width, ErrorKind::data,
          "ScoreFunction: expected keys […,M,{}], got {}", options.key_width, shape_text(keys));
  return key ? key->forward(keys) : keys;
}

at::Tensor ScoreFunctionImpl::score(const at::Tensor& q, const at::Tensor& prepared) {
  require(q.defined() && q.dim() == prepared.dim() && q.size(-1) == options.query_width, ErrorKind::data,
          "ScoreFunction: expected query […,N,{}] with as many dimensions as the keys {}, got {}", options.query_width,
          shape_text(prepared), shape_text(q));
  const auto product = [&](const at::Tensor& a) { return at::matmul(a, prepared.transpose(-2, -1)); };
  at::Tensor scores;
  switch (options.kind) {
    case Score::dot:
    case Score::general:
      scores = product(q);
      break;
    case Score::scaled_dot:
      scores = product(q) / std::sqrt(static_cast<double>(options.query_width));
      break;
    case Score::cosine:
      scores = at::matmul(unit(q), unit(prepared).transpose(-2, -1));
      break;
    case Score::l1:
      scores = -distance(q, prepared, 1);
      break;
    case Score::l2:
      scores = -distance(q, prepared, 2);
      break;
    case Score::squared_l2:
      scores = -distance(q, prepared, 2).square();
      break;
    case Score::additive:
      scores = at::matmul(at::tanh(query->forward(q).unsqueeze(-2) + prepared.unsqueeze(-3)), v);  // […,N,M,a]·[a]
      break;
    case Score::location:
      require(prepared.size(-2) <= options.positions, ErrorKind::data,
              "ScoreFunction: {} keys, but location was made for {}", prepared.size(-2), options.positions);
      scores = query->forward(q).narrow(-1, 0, prepared.size(-2));
      break;
  }
  return options.scale == 1 ? scores : scores * options.scale;
}

}  // namespace fovea
