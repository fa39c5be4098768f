// Seeded calls of the attention core: every kind of mask, bias, stride, grouping and width.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "fovea/modules/attention/attention.h"

namespace fovea::testing {

// Keys each query may see, from all that the arguments say, by loops.
inline at::Tensor allowed_by(const at::Tensor& q, const at::Tensor& k, const AttentionArgs& args) {
  const int64_t B = q.size(0), H = q.size(1), N = q.size(2), M = k.size(2);
  auto allowed = at::ones({B, H, N, M}, at::kBool);
  if (args.mask.defined()) {
    auto mask = args.mask;
    if (mask.dim() == 2) mask = mask.view({1, 1, mask.size(0), mask.size(1)});
    if (mask.dim() == 3) mask = mask.unsqueeze(1);
    allowed = mask.expand({B, H, N, M}).clone();
  }
  auto a = allowed.accessor<bool, 4>();
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      for (int64_t i = 0; i < N; ++i) {
        for (int64_t j = 0; j < M; ++j) {
          const int64_t last = args.causal_align == CausalAlign::last ? i + M - N : i;
          if (args.causal && j > last) a[b][h][i][j] = false;
          if (args.key_lengths.defined() && j >= args.key_lengths[b].item<int64_t>()) a[b][h][i][j] = false;
        }
      }
    }
  }
  return allowed;
}

struct RandomCase {
  at::Tensor q, k, v;
  AttentionArgs args;
  std::string name;
};

inline RandomCase random_case(uint64_t seed, at::ScalarType type) {
  std::mt19937_64 random(seed);
  const auto pick = [&](std::vector<int64_t> from) { return from[random() % from.size()]; };
  at::manual_seed(static_cast<int64_t>(seed));
  const int64_t B = pick({1, 2, 3}), K = pick({1, 2, 3}), group = pick({1, 1, 1, 2, 4}), H = K * group;
  const int64_t N = pick({1, 2, 3, 7, 15, 17, 31, 49, 50, 65}),
                M = random() % 2 ? N : pick({1, 3, 8, 31, 49, 64, 127, 197, 300});
  const int64_t d = pick({1, 2, 3, 8, 15, 16, 31, 32, 40, 59, 64, 96, 111, 128, 256}),
                e = random() % 4 ? d : pick({1, 5, 33});
  const double spread = pick({1, 1, 1, 30});
  const auto make = [&](int64_t heads, int64_t tokens, int64_t width) {
    switch (random() % 3) {
      case 0:
        return at::randn({B, heads, tokens, width}).to(type);
      case 1:
        return at::randn({B, tokens, heads, width}).to(type).transpose(1, 2);
      default:
        return at::randn({B, heads, tokens + 2, width + 3}).to(type).narrow(2, 1, tokens).narrow(3, 2, width);
    }
  };
  RandomCase c{.q = make(H, N, d) * spread, .k = make(K, M, d), .v = make(K, M, e), .args = {}, .name = {}};
  if (random() % 3 == 0) c.args.scale = 0.3;
  switch (random() % 4) {
    case 0:
      c.args.mask = at::rand({N, M}) > 0.3;
      break;
    case 1:
      c.args.mask = at::rand({B, 1, random() % 2 ? N : 1, M}) > 0.5;
      break;
    default:
      break;
  }
  switch (random() % 4) {
    case 0:
      c.args.bias = at::randn({H, N, M});
      break;
    case 1:
      c.args.bias = at::randn({N, M}).masked_fill(at::rand({N, M}) < 0.2, -INFINITY);
      break;
    default:
      break;
  }
  c.args.causal = random() % 4 == 0;
  if (random() % 2) c.args.causal_align = CausalAlign::first;
  if (random() % 4 == 0) c.args.key_lengths = at::randint(0, M + 1, {B}, at::kLong);
  c.name = fmt::format("seed {} B{} H{} K{} N{} M{} d{} e{}", seed, B, H, K, N, M, d, e);
  return c;
}

inline double scale_of(const RandomCase& c) {
  return c.args.scale.value_or(1 / std::sqrt(static_cast<double>(c.q.size(3))));
}

// How far the core may be from `expected` in the type of q (CONTRIBUTING.md): sums of d products, and scores that are
// no more exact than their last bit, whichever way the formula is written: softmax hands that on.
inline double core_floor(const RandomCase& c, const at::Tensor& expected) {
  const auto type = c.q.scalar_type();
  const double top = expected.numel() == 0 ? 1.0 : std::max(expected.abs().max().item<double>(), 1.0);
  const double unit = type == at::kBFloat16 ? 4e-3 : type == at::kFloat ? 1e-6 : 1e-14;
  const double last_bit = type == at::kBFloat16 ? 0 : type == at::kFloat ? 0x1p-24 : 0x1p-53;
  const auto k = c.k.to(at::kDouble).repeat_interleave(c.q.size(1) / c.k.size(1), 1);
  const double score = at::matmul(c.q.to(at::kDouble), k.transpose(-2, -1)).abs().max().item<double>() * scale_of(c);
  return top * std::max(unit * std::sqrt(static_cast<double>(c.q.size(3))), 2 * last_bit * score);
}

inline at::Tensor four(const at::Tensor& bias) {
  if (!bias.defined() || bias.dim() == 4) return bias;
  return bias.dim() == 3 ? bias.unsqueeze(0) : bias.view({1, 1, bias.size(0), bias.size(1)});
}

}  // namespace fovea::testing
