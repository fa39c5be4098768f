// Places against closed forms and plain loops in fp64.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/position/alibi.h"
#include "fovea/modules/position/conditional.h"
#include "fovea/modules/position/relative.h"
#include "fovea/modules/position/rotary.h"
#include "fovea/modules/position/sinusoidal.h"
#include "fovea/modules/position/transformer_xl.h"
#include "fovea/modules/position/window_bias.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

double value(const at::Tensor& t) {
  return t.item<double>();
}

TEST(Sinusoidal, HasSinesAndCosinesOfTheFormula) {
  const auto both = sinusoidal_positions(7, 6, {.first = 3});
  const auto halves = sinusoidal_positions(7, 6, {.layout = SinusoidLayout::halves, .first = 3});
  for (int64_t p = 0; p < 7; ++p) {
    for (int64_t i = 0; i < 3; ++i) {
      const double angle = static_cast<double>(p + 3) / std::pow(10000.0, 2.0 * static_cast<double>(i) / 6);
      EXPECT_NEAR(value(both[p][2 * i]), std::sin(angle), 1e-6);
      EXPECT_NEAR(value(both[p][2 * i + 1]), std::cos(angle), 1e-6);
      EXPECT_NEAR(value(halves[p][i]), std::sin(angle), 1e-6);
      EXPECT_NEAR(value(halves[p][3 + i]), std::cos(angle), 1e-6);
    }
  }
}

TEST(Sinusoidal, AStepIsARotationThatDoesNotDependOnThePlace) {
  const auto table = sinusoidal_positions(600, 8);
  for (const int64_t step : {1, 17}) {
    for (int64_t i = 0; i < 4; ++i) {
      const double turn = static_cast<double>(step) / std::pow(10000.0, 2.0 * static_cast<double>(i) / 8);
      for (const int64_t p : {0, 5, 500}) {
        const double s = value(table[p][2 * i]), c = value(table[p][2 * i + 1]);
        EXPECT_NEAR(value(table[p + step][2 * i]), s * std::cos(turn) + c * std::sin(turn), 1e-5);
        EXPECT_NEAR(value(table[p + step][2 * i + 1]), c * std::cos(turn) - s * std::sin(turn), 1e-5);
      }
    }
  }
}

TEST(Sinusoidal, AGridHoldsRowThenColumn) {
  const auto grid = sinusoidal_grid(3, 4, 8).view({3, 4, 8});
  const auto rows = sinusoidal_positions(3, 4), columns = sinusoidal_positions(4, 4);
  for (int64_t y = 0; y < 3; ++y) {
    for (int64_t x = 0; x < 4; ++x) {
      EXPECT_TRUE(at::equal(grid[y][x], at::cat({rows[y], columns[x]})));
    }
  }
  EXPECT_THAT(error_of([] { sinusoidal_positions(3, 5); }), AllOf(StartsWith("2: "), HasSubstr("5")));
  EXPECT_THAT(error_of([] { sinusoidal_grid(3, 4, 6); }), HasSubstr("6"));
}

TEST(LearnedPositions, AddsItsRowsWithGradients) {
  LearnedPositions layer({.count = 9, .width = 4});
  layer->to(at::kDouble);
  const auto x = at::randn({2, 3, 4}, kWide);
  EXPECT_TRUE(at::equal(layer->forward(x, 5), x + layer->weight.narrow(0, 5, 3)));
  EXPECT_LE(module_gradient_error(*layer, x), 1e-8);
  EXPECT_THAT(error_of([&] { layer->forward(x, 7); }), AllOf(StartsWith("3: "), HasSubstr("7…9")));
  EXPECT_THAT(error_of([&] { layer->forward(x.narrow(2, 0, 3)); }), HasSubstr("[2,3,3]"));
}

// One vector turned pair by pair.
Vector turned(Vector x, double place, RotaryPairs pairs, size_t from, size_t d) {
  for (size_t i = 0; i < d / 2; ++i) {
    const double angle = place / std::pow(10000.0, 2.0 * static_cast<double>(i) / static_cast<double>(d));
    const size_t a = from + (pairs == RotaryPairs::halves ? i : 2 * i);
    const size_t b = from + (pairs == RotaryPairs::halves ? i + d / 2 : 2 * i + 1);
    const double left = x[a], right = x[b];
    x[a] = left * std::cos(angle) - right * std::sin(angle);
    x[b] = left * std::sin(angle) + right * std::cos(angle);
  }
  return x;
}

TEST(Rotary, TurnsEveryPairOnALineAndOnAGrid) {
  at::manual_seed(1);
  const auto q = at::randn({2, 3, 7, 8}, kWide), k = at::randn({2, 3, 7, 8}, kWide);
  for (const auto pairs : {RotaryPairs::halves, RotaryPairs::adjacent}) {
    const auto line = RotaryPosition({.pairs = pairs}).rotate(q, k, {.first = 4});
    const auto grid =
        RotaryPosition({.pairs = pairs, .dimensions = 2}).rotate(q, k, {.height = 2, .width = 3, .prefix = 1});
    for (int64_t n = 0; n < 7; ++n) {
      const auto check = [&](const at::Tensor& got, const Vector& expected) {
        for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(row(got)[i], expected[i], 1e-12);
      };
      check(line.q[1][2][n], turned(row(q[1][2][n]), static_cast<double>(n + 4), pairs, 0, 8));
      check(line.k[0][1][n], turned(row(k[0][1][n]), static_cast<double>(n), pairs, 0, 8));
      auto expected = row(q[1][0][n]);
      if (n > 0) {
        expected = turned(expected, static_cast<double>((n - 1) / 3), pairs, 0, 4);
        expected = turned(expected, static_cast<double>((n - 1) % 3), pairs, 4, 4);
      }
      check(grid.q[1][0][n], expected);
    }
    const auto f = [&](const auto& in) {
      const auto both = RotaryPosition({.pairs = pairs, .dimensions = 2})
                            .rotate(in[0], in[1], {.height = 2, .width = 3, .prefix = 1});
      return at::matmul(both.q, both.k.transpose(2, 3));
    };
    EXPECT_LE(gradient_error(f, {q, k}), 1e-6);
  }
}

TEST(Rotary, ScoresDependOnTheDistanceAlone) {
  at::manual_seed(2);
  const auto q = at::randn({1, 1, 1, 8}, kWide).expand({1, 1, 6, 8}),
             k = at::randn({1, 1, 1, 8}, kWide).expand({1, 1, 6, 8});
  for (const int64_t first : {0, 40}) {
    const auto both = RotaryPosition().rotate(q, k, {.first = first});
    const auto scores = at::matmul(both.q, both.k.transpose(2, 3))[0][0];
    for (int64_t i = 1; i < 6; ++i) {
      for (int64_t j = 1; j < 6; ++j) EXPECT_NEAR(value(scores[i][j]), value(scores[i - 1][j - 1]), 1e-10);
    }
    EXPECT_GT(std::abs(value(scores[0][3]) - value(scores[3][0])), 1e-3);
  }
  EXPECT_THAT(error_of([] { RotaryPosition({.dimensions = 3}); }), StartsWith("2: "));
  const auto odd = at::zeros({1, 1, 6, 6}), flat = at::zeros({1, 1, 6, 8});
  EXPECT_THAT(error_of([&] { RotaryPosition({.dimensions = 2}).rotate(odd, odd, {.height = 2, .width = 3}); }),
              HasSubstr("width 6"));
  EXPECT_THAT(error_of([&] { RotaryPosition({.dimensions = 2}).rotate(flat, flat, {.height = 2, .width = 4}); }),
              AllOf(StartsWith("3: "), HasSubstr("2x4")));
}

TEST(Alibi, SlopesAndDistances) {
  const auto eight = alibi_slopes(8);
  for (int64_t h = 0; h < 8; ++h) EXPECT_FLOAT_EQ(eight[h].item<float>(), std::exp2(-static_cast<float>(h + 1)));
  // The paper's list for 12 heads: those of 8, then every other of 16.
  const float twelve[] = {0.5F,       0.25F,       0.125F,      0.0625F,     0.03125F,   0.015625F,
                          0.0078125F, 0.00390625F, 0.70710678F, 0.35355339F, 0.1767767F, 0.08838835F};
  for (int64_t h = 0; h < 12; ++h) EXPECT_FLOAT_EQ(alibi_slopes(12)[h].item<float>(), twelve[h]);
  const auto bias = AlibiPosition(2).bias(at::zeros({1, 2, 3, 4}), at::zeros({1, 2, 5, 4}), {});
  ASSERT_EQ(bias.sizes(), at::IntArrayRef({2, 3, 5}));
  for (int64_t h = 0; h < 2; ++h) {
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t j = 0; j < 5; ++j) {
        EXPECT_FLOAT_EQ(bias[h][i][j].item<float>(),
                        -std::exp2(-4.0F * static_cast<float>(h + 1)) * std::abs(static_cast<float>(j - (i + 2))));
      }
    }
  }
  EXPECT_THAT(error_of([] { alibi_slopes(0); }), StartsWith("2: "));
}

TEST(RelativeBias, ClipsBeyondItsReachAndSharesHeads) {
  at::manual_seed(3);
  ClippedRelativeBias layer({.heads = 3, .reach = 2});
  layer->to(at::kDouble);
  const auto q = at::zeros({1, 3, 6, 4}, kWide);
  const auto bias = layer->bias(q, q, {});
  for (int64_t h = 0; h < 3; ++h) {
    for (int64_t i = 0; i < 6; ++i) {
      for (int64_t j = 0; j < 6; ++j) {
        EXPECT_EQ(value(bias[h][i][j]), value(layer->table[std::clamp<int64_t>(j - i, -2, 2) + 2][h]));
      }
    }
  }
  ClippedRelativeBias shared({.heads = 1, .reach = 2});
  EXPECT_NO_THROW(
      attention(at::randn({2, 3, 6, 4}), at::randn({2, 3, 6, 4}), at::randn({2, 3, 6, 4}), {.position = shared.get()}));
  EXPECT_LE(leaf_gradient_error([&] { return layer->bias(q, q, {}); }, layer->parameters()), 1e-8);
}

// T5's text, distance by distance.
int64_t bucket_oracle(int64_t offset, int64_t buckets, int64_t most, bool both) {
  int64_t base = 0, n = both ? std::abs(offset) : std::max<int64_t>(-offset, 0);
  if (both) {
    buckets /= 2;
    if (offset > 0) base = buckets;
  }
  const int64_t exact = buckets / 2;
  if (n < exact) return base + n;
  const float ratio = std::log(static_cast<float>(n) / static_cast<float>(exact)) /
                      static_cast<float>(std::log(static_cast<double>(most) / static_cast<double>(exact)));
  return base + std::min(buckets - 1, exact + static_cast<int64_t>(ratio * static_cast<float>(buckets - exact)));
}

TEST(RelativeBias, BucketsAreT5s) {
  const auto offsets = at::arange(-300, 301, at::kLong);
  for (const bool both : {true, false}) {
    for (const auto& [buckets, most] : {std::pair<int64_t, int64_t>{32, 128}, {8, 20}}) {
      const auto got =
          relative_buckets(offsets, {.heads = 1, .buckets = buckets, .max_distance = most, .bidirectional = both});
      for (int64_t i = 0; i < 601; ++i) {
        EXPECT_EQ(got[i].item<int64_t>(), bucket_oracle(i - 300, buckets, most, both)) << i - 300;
      }
    }
  }
  // Values of transformers' T5Attention._relative_position_bucket.
  const auto known = relative_buckets(at::tensor({-200, -20, -8, -7, 0, 1, 9, 64, 200}, at::kLong), {.heads = 1});
  EXPECT_TRUE(at::equal(known, at::tensor({15, 10, 8, 7, 0, 17, 24, 30, 31}, at::kLong))) << known;
  BucketedRelativeBias layer({.heads = 2});
  const auto q = at::zeros({1, 2, 4, 4});
  EXPECT_EQ(value(layer->bias(q, q, {})[1][0][3]), value(layer->weight[19][1]));
  EXPECT_THAT(error_of([] { BucketedRelativeBias({.heads = 2, .buckets = 7}); }), StartsWith("2: "));
}

TEST(ShawRelative, ScoresAndValuesMatchLoops) {
  at::manual_seed(4);
  ShawRelative layer({.head_width = 4, .reach = 2});
  layer->to(at::kDouble);
  for (auto& parameter : layer->parameters()) parameter.detach().normal_();
  const auto q = at::randn({2, 3, 5, 4}, kWide), k = at::randn({2, 3, 7, 4}, kWide), v = at::randn({2, 3, 7, 4}, kWide);
  const auto bias = layer->bias(q, k, {.first = 1});
  const auto weights = at::softmax(at::randn({2, 3, 5, 7}, kWide), -1);
  const auto sums = layer->value_sum(weights, {.first = 1});
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t h = 0; h < 3; ++h) {
      for (int64_t i = 0; i < 5; ++i) {
        Vector sum(4, 0);
        for (int64_t j = 0; j < 7; ++j) {
          const int64_t r = std::clamp<int64_t>(j - (i + 1), -2, 2) + 2;
          EXPECT_NEAR(value(bias[b][h][i][j]), dot(row(q[b][h][i]), row(layer->keys[r])) / 2, 1e-12);
          for (size_t t = 0; t < 4; ++t) sum[t] += value(weights[b][h][i][j]) * row(layer->values[r])[t];
        }
        for (size_t t = 0; t < 4; ++t) EXPECT_NEAR(row(sums[b][h][i])[t], sum[t], 1e-12);
      }
    }
  }
  auto leaves = layer->parameters();
  leaves.push_back(q.clone().requires_grad_(true));
  leaves.push_back(weights.clone().requires_grad_(true));
  const auto f = [&] { return at::cat({layer->bias(leaves[2], k, {}), layer->value_sum(leaves[3])}, -1); };
  EXPECT_LE(leaf_gradient_error(f, leaves), 1e-6);
  EXPECT_THAT(error_of([&] { layer->bias(at::zeros({1, 1, 2, 3}, kWide), k, {}); }), HasSubstr("[1,1,2,3]"));
  EXPECT_THAT(error_of([] {
                ShawRelative({.head_width = 4, .reach = 1, .values = false})->value_sum(at::zeros({1, 1, 2, 2}));
              }),
              StartsWith("2: "));
}

TEST(TransformerXl, ScoresHaveTheFourTerms) {
  at::manual_seed(11);
  TransformerXlPosition layer({.heads = 2, .head_width = 4, .width = 6});
  layer->to(at::kDouble);
  for (auto& parameter : layer->parameters()) parameter.detach().normal_();
  const auto q = at::randn({2, 2, 3, 4}, kWide), k = at::randn({2, 2, 5, 4}, kWide);
  const auto turned = layer->rotate(q, k, {});
  const auto scores = at::matmul(turned.q, turned.k.transpose(2, 3)) / 2 + layer->bias(q, k, {});
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t h = 0; h < 2; ++h) {
      const auto u = row(layer->u[h]), v = row(layer->v[h]);
      for (int64_t i = 0; i < 3; ++i) {
        for (int64_t j = 0; j < 5; ++j) {
          const auto distance = static_cast<double>(i + 2 - j);
          Vector waves(6);
          for (size_t t = 0; t < 3; ++t) {
            const double angle = distance / std::pow(10000.0, 2.0 * static_cast<double>(t) / 6);
            waves[t] = std::sin(angle);
            waves[3 + t] = std::cos(angle);
          }
          const auto place = times(layer->r->weight.narrow(0, 4 * h, 4), waves);
          const auto content = row(q[b][h][i]), key = row(k[b][h][j]);
          EXPECT_NEAR(value(scores[b][h][i][j]),
                      (dot(content, key) + dot(u, key) + dot(content, place) + dot(v, place)) / 2, 1e-6);
        }
      }
    }
  }
  auto leaves = layer->parameters();
  leaves.push_back(q.clone().requires_grad_(true));
  const auto f = [&] {
    const auto both = layer->rotate(leaves.back(), k, {});
    return at::matmul(both.q, both.k.transpose(2, 3)) + layer->bias(leaves.back(), k, {});
  };
  EXPECT_LE(leaf_gradient_error(f, leaves), 1e-6);
  EXPECT_THAT(error_of([&] {
                attention(at::zeros({2, 3, 3, 4}, kWide), at::zeros({2, 3, 3, 4}, kWide),
                          at::zeros({2, 3, 3, 4}, kWide), {.position = layer.get()});
              }),
              AllOf(StartsWith("3: "), HasSubstr("[2,3,3,4]")));
  EXPECT_THAT(error_of([] { TransformerXlPosition({.heads = 1, .head_width = 3}); }), StartsWith("2: "));
}

TEST(WindowBias, SwinsTableByOffsets) {
  at::manual_seed(5);
  GridRelativeBias layer({.heads = 2, .window = {2, 3}});
  const auto q = at::zeros({4, 2, 6, 4});
  const auto bias = layer->bias(q, q, {});
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t j = 0; j < 6; ++j) {
      const int64_t dy = i / 3 - j / 3 + 1, dx = i % 3 - j % 3 + 2;
      EXPECT_EQ(value(bias[1][i][j]), value(layer->relative_position_bias_table[dy * 5 + dx][1]));
    }
  }
  EXPECT_THAT(error_of([&] {
                layer->bias(at::zeros({4, 2, 5, 4}), q, {});
              }),
              AllOf(StartsWith("3: "), HasSubstr("2x3")));
}

TEST(WindowBias, SwinV2sNetworkByLogOffsets) {
  at::manual_seed(6);
  for (const int64_t pretrained : {0, 5}) {
    LogRelativeBias layer({.heads = 2, .window = {3, 4}, .pretrained = {pretrained, pretrained}, .hidden = 7});
    layer->to(at::kDouble);
    // Away from the corner of the ReLU, on which biases of 0 put the offset 0.
    for (auto& parameter : layer->parameters()) parameter.data().normal_();
    const auto q = at::zeros({1, 2, 12, 4}, kWide);
    const auto bias = layer->bias(q, q, {});
    for (int64_t i = 0; i < 12; ++i) {
      for (int64_t j = 0; j < 12; ++j) {
        const auto log_offset = [&](int64_t offset, int64_t window) {
          const double t =
              8.0 * static_cast<double>(offset) / static_cast<double>((pretrained > 0 ? pretrained : window) - 1);
          return (t < 0 ? -1.0 : 1.0) * std::log2(1 + std::abs(t)) / 3;
        };
        const Vector offsets = {log_offset(i / 4 - j / 4, 3), log_offset(i % 4 - j % 4, 4)};
        auto hidden = plus(times(layer->first->weight, offsets), row(layer->first->bias));
        for (double& h : hidden) h = std::max(h, 0.0);
        const auto scores = times(layer->second->weight, hidden);
        for (size_t h = 0; h < 2; ++h) {
          EXPECT_NEAR(value(bias[static_cast<int64_t>(h)][i][j]), 16 / (1 + std::exp(-scores[h])), 1e-5);
        }
      }
    }
    EXPECT_LE(leaf_gradient_error([&] { return layer->bias(q, q, {}); }, layer->parameters()), 1e-6);
    EXPECT_TRUE(layer->named_parameters().contains("0.weight") && layer->named_parameters().contains("2.weight"));
  }
}

TEST(ConditionalPosition, AddsADepthwiseConvolutionOfTheGrid) {
  at::manual_seed(7);
  ConditionalPosition layer({.width = 3});
  layer->to(at::kDouble);
  const auto x = at::randn({2, 1 + 4 * 5, 3}, kWide);
  const auto got = layer->forward(x, 4, 5, 1);
  EXPECT_TRUE(at::equal(got.select(1, 0), x.select(1, 0)));
  const auto weight = layer->proj->conv->weight, bias = layer->proj->conv->bias;
  for (int64_t y = 0; y < 4; ++y) {
    for (int64_t z = 0; z < 5; ++z) {
      for (int64_t c = 0; c < 3; ++c) {
        double sum = value(x[1][1 + y * 5 + z][c]) + value(bias[c]);
        for (int64_t i = 0; i < 9; ++i) {
          const int64_t yy = y + i / 3 - 1, zz = z + i % 3 - 1;
          if (yy >= 0 && yy < 4 && zz >= 0 && zz < 5)
            sum += value(weight[c][0][i / 3][i % 3]) * value(x[1][1 + yy * 5 + zz][c]);
        }
        EXPECT_NEAR(value(got[1][1 + y * 5 + z][c]), sum, 1e-12);
      }
    }
  }
  auto leaves = layer->parameters();
  leaves.push_back(x.clone().requires_grad_(true));
  EXPECT_LE(leaf_gradient_error([&] { return layer->forward(leaves.back(), 4, 5, 1); }, leaves), 1e-6);
  EXPECT_THAT(error_of([&] { layer->forward(x, 4, 5); }), HasSubstr("[2,21,3]"));
}

}  // namespace
}  // namespace fovea::testing
