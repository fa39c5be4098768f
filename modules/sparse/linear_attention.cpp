#include "fovea/modules/sparse/linear_attention.h"

#include <ATen/ATen.h>

#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cmath>
#include <limits>

#include "fovea/modules/at_least_float.h"
#include "fovea/modules/attention/recorded_weights.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

constexpr int64_t kChunk = 64;  // tokens that a causal pass treats at once

// Sums over all tokens and exponents need more than float16 holds and bfloat16 tells apart, also where autocast would
// lower the products.
struct WideSums {
  c10::impl::ExcludeDispatchKeyGuard without_autocast{c10::autocast_dispatch_keyset};
};

struct Sums {
  at::Tensor numerator;    // [B,H,N,e]
  at::Tensor denominator;  // [B,H,N]
};

Sums over_all(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return {at::matmul(q, at::matmul(k.transpose(2, 3), v)), at::matmul(q, k.sum(2).unsqueeze(-1)).squeeze(-1)};
}

// Within a chunk by a masked product, from the chunks before by their running sum.
Sums up_to_each(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const int64_t N = q.size(2), chunks = (N + kChunk - 1) / kChunk;
  const auto chunked = [&](const at::Tensor& t) {  // [B,H,N,d] → [B,H,chunks,c,d]
    return at::constant_pad_nd(t, {0, 0, 0, chunks * kChunk - N})
        .reshape({t.size(0), t.size(1), chunks, kChunk, t.size(3)});
  };
  const auto qs = chunked(q), ks = chunked(k), vs = chunked(v);
  const auto before = [](const at::Tensor& sums) { return sums.cumsum(2) - sums; };  // of the chunks before
  const auto states = before(at::matmul(ks.transpose(3, 4), vs));                    // [B,H,chunks,m,e]
  const auto totals = before(ks.sum(3)).unsqueeze(-1);                               // [B,H,chunks,m,1]
  const auto within = at::matmul(qs, ks.transpose(3, 4)).tril();                     // [B,H,chunks,c,c]
  const auto numerator = at::matmul(within, vs) + at::matmul(qs, states);
  const auto denominator = within.sum(-1) + at::matmul(qs, totals).squeeze(-1);
  return {numerator.flatten(2, 3).narrow(2, 0, N), denominator.flatten(2, 3).narrow(2, 0, N)};
}

void check(const char* function, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
           const LinearAttentionArgs& args) {
  require(q.dim() == 4 && k.dim() == 4 && v.dim() == 4 && k.size(0) == q.size(0) && k.size(1) == q.size(1) &&
              v.size(0) == q.size(0) && v.size(1) == q.size(1) && k.size(3) == q.size(3) && v.size(2) == k.size(2) &&
              (!args.causal || q.size(2) == k.size(2)),
          ErrorKind::data, "{}: expected q [B,H,N,d], k [B,H,M,d], v [B,H,M,e]{}, got {}, {}, {}", function,
          args.causal ? " with N = M" : "", shape_text(q), shape_text(k), shape_text(v));
  require(!args.key_mask.defined() || (args.key_mask.scalar_type() == at::kBool && args.key_mask.dim() == 2 &&
                                       args.key_mask.size(0) == q.size(0) && args.key_mask.size(1) == k.size(2)),
          ErrorKind::data, "{}: expected key_mask bool [B,M], got {} for k {}", function, shape_text(args.key_mask),
          shape_text(k));
}

// [B,1,M] for hide_rows, or undefined.
at::Tensor shown(const LinearAttentionArgs& args) {
  return args.key_mask.defined() ? args.key_mask.unsqueeze(1) : at::Tensor();
}

// The weights that the sums never hold.
at::Tensor kernel_weights(const at::Tensor& q, const at::Tensor& k, const at::Tensor& totals,
                          const LinearAttentionArgs& args) {
  const auto queries = recording::queries();
  const auto numbers = q.options().dtype(at::kLong).requires_grad(false);
  const auto rows = queries.empty() ? at::arange(q.size(2), numbers) : at::tensor(queries, numbers);
  auto weights = at::matmul(q.index_select(2, rows), k.transpose(2, 3)) / totals.index_select(2, rows).unsqueeze(-1);
  if (args.causal) weights = weights.masked_fill(at::arange(k.size(2), numbers).gt(rows.unsqueeze(1)), 0);
  return weights;
}

// ω·x − |x|²/2.
at::Tensor exponents(const at::Tensor& x, const at::Tensor& directions) {
  return at::matmul(x, directions.to(x.options()).t()) - x.square().sum(-1, /*keepdim=*/true) / 2;
}

}  // namespace

at::Tensor kernel_attention(const at::Tensor& given_q, const at::Tensor& given_k, const at::Tensor& v,
                            const LinearAttentionArgs& args) {
  check("kernel_attention", given_q, given_k, v, args);
  const WideSums wide;
  const auto q = detail::at_least_float(given_q), k = detail::at_least_float(given_k);
  const auto keys = hide_rows(k, shown(args)), values = hide_rows(detail::at_least_float(v), shown(args));
  const auto [numerator, denominator] = args.causal ? up_to_each(q, keys, values) : over_all(q, keys, values);
  auto totals = denominator + args.eps;
  if (args.eps == 0) totals = totals.masked_fill(totals.eq(0), 1);  // a query without keys gives zeros
  const auto output = (numerator / totals.unsqueeze(-1)).to(v.scalar_type());
  if (recording::wanted(args.module)) {
    recording::add_weights(args.module, kernel_weights(q, keys, totals, args), output, values.to(v.scalar_type()));
  }
  return output;
}

at::Tensor linear_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const LinearAttentionArgs& args) {
  check("linear_attention", q, k, v, args);
  const auto keys = detail::at_least_float(hide_rows(k, shown(args)));
  return kernel_attention(at::elu(detail::at_least_float(q)) + 1, at::elu(keys) + 1, v, args);
}

at::Tensor orthogonal_directions(int64_t features, int64_t d) {
  require(features > 0 && d > 0, ErrorKind::usage, "orthogonal_directions: features {} and d {} must be positive",
          features, d);
  std::vector<at::Tensor> blocks;
  for (int64_t made = 0; made < features; made += d) {
    const auto [orthogonal, upper] = at::linalg_qr(at::randn({d, d}));
    // Signs of the diagonal make the directions uniform over all rotations.
    blocks.push_back((orthogonal * upper.diagonal().sign()).t().narrow(0, 0, std::min(d, features - made)));
  }
  const auto lengths = at::randn({features, d}).norm(2, {1}, /*keepdim=*/true);
  return at::cat(blocks) * lengths;
}

at::Tensor favor_features(const at::Tensor& x, const at::Tensor& directions) {
  require(x.defined() && directions.dim() == 2 && x.size(-1) == directions.size(1), ErrorKind::data,
          "favor_features: expected x […,d] and directions [m,d], got {}, {}", shape_text(x), shape_text(directions));
  return at::exp(exponents(x, directions)) / std::sqrt(static_cast<double>(directions.size(0)));
}

at::Tensor performer_attention(const at::Tensor& given_q, const at::Tensor& given_k, const at::Tensor& v,
                               const at::Tensor& directions, const LinearAttentionArgs& args) {
  check("performer_attention", given_q, given_k, v, args);
  const WideSums wide;
  const auto q = detail::at_least_float(given_q), k = detail::at_least_float(given_k);
  require(directions.dim() == 2 && directions.size(1) == q.size(3), ErrorKind::data,
          "performer_attention: expected directions [m,{}], got {}", q.size(3), shape_text(directions));
  const double root = std::pow(static_cast<double>(q.size(3)), -0.25);
  const auto of_queries = exponents(q * root, directions);
  auto of_keys = exponents(hide_rows(k, shown(args)) * root, directions);
  if (args.key_mask.defined()) {
    const auto hidden = args.key_mask.logical_not().view({k.size(0), 1, k.size(2), 1});
    of_keys = of_keys.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  }
  const auto largest = of_keys.detach().amax({2, 3}, /*keepdim=*/true);
  // A factor a query, and one for all keys of a head, cancel in the ratio as long as nothing is added to the
  // normaliser: there the keys that a causal query does not see would change what it reads.
  const auto query_features = at::exp(of_queries - of_queries.detach().amax(-1, /*keepdim=*/true));
  const auto key_features = at::exp(of_keys - largest.masked_fill(largest.isinf(), 0));
  auto exact = args;
  exact.eps = 0;
  return kernel_attention(query_features, key_features, v, exact);
}

}  // namespace fovea
