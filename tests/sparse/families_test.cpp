// FAVOR+ by loops, what sets the linear families apart from plain attention, and what all of them hold in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/sparse/linear_attention.h"
#include "fovea/modules/sparse/linformer.h"
#include "fovea/modules/sparse/sparse_attention.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Gt;
using ::testing::Lt;

// exp(ω·x − |x|²/2)/√m of every direction.
Vector favor_oracle(const Vector& x, const at::Tensor& directions) {
  Vector features = times(directions, x);
  for (double& f : features) f = std::exp(f - dot(x, x) / 2) / std::sqrt(static_cast<double>(features.size()));
  return features;
}

Vector shrunk(Vector x) {
  const double root = std::pow(static_cast<double>(x.size()), 0.25);
  for (double& v : x) v /= root;
  return x;
}

TEST(Performer, MatchesLoopsCausalAndMasked) {
  at::manual_seed(21);
  const auto directions = orthogonal_directions(7, 4);
  const auto q = at::randn({2, 2, 9, 4}, kWide), k = at::randn({2, 2, 9, 4}, kWide), v = at::randn({2, 2, 9, 3}, kWide);
  const auto features = favor_features(q, directions);
  for (int64_t n = 0; n < 9; ++n) {
    const auto expected = favor_oracle(row(q[1][0][n]), directions);
    for (size_t f = 0; f < 7; ++f) EXPECT_NEAR(row(features[1][0][n])[f], expected[f], 1e-12);
  }
  const auto mask = at::arange(18).remainder(5).ne(2).view({2, 9});
  for (const bool causal : {false, true}) {
    const LinearAttentionArgs args{.causal = causal, .key_mask = mask};
    const auto got = performer_attention(q, k, v, directions, args);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t h = 0; h < 2; ++h) {
        for (int64_t i = 0; i < 9; ++i) {
          Vector sum(3, 0);
          double total = 0;
          for (int64_t j = 0; j < (causal ? i + 1 : 9); ++j) {
            if (!mask[b][j].item<bool>()) continue;
            const double weight = dot(favor_oracle(shrunk(row(q[b][h][i])), directions),
                                      favor_oracle(shrunk(row(k[b][h][j])), directions));
            total += weight;
            for (size_t t = 0; t < 3; ++t) sum[t] += weight * row(v[b][h][j])[t];
          }
          for (size_t t = 0; t < 3; ++t) EXPECT_NEAR(row(got[b][h][i])[t], total > 0 ? sum[t] / total : 0, 1e-11);
        }
      }
    }
    const auto f = [&](const auto& in) { return performer_attention(in[0], in[1], in[2], directions, args); };
    EXPECT_LE(gradient_error(f, {q, k, v}), 1e-5);
  }
  const auto none = performer_attention(q, k, v, directions, {.key_mask = at::zeros({2, 9}, at::kBool)});
  EXPECT_EQ(none.abs().max().item<double>(), 0);
}

// Long keys have small features. A later or masked key of length 0 has the largest of all, which must not drown them.
TEST(Performer, KeysThatAQueryDoesNotSeeChangeNothing) {
  at::manual_seed(22);
  const auto directions = orthogonal_directions(16, 8);
  const auto q = at::randn({1, 1, 100, 8}), v = at::randn({1, 1, 100, 4});
  const auto k = at::randn({1, 1, 100, 8}) * 6;
  auto other = k.clone();
  other.narrow(2, 30, 70).zero_();
  const auto plain = performer_attention(q, k, v, directions, {.causal = true});
  const auto changed = performer_attention(q, other, v, directions, {.causal = true});
  EXPECT_LE(relative_error(changed.narrow(2, 0, 30), plain.narrow(2, 0, 30)), 1e-4);
  const auto mask = at::arange(100).lt(30).unsqueeze(0);
  EXPECT_LE(relative_error(performer_attention(q, other, v, directions, {.key_mask = mask}),
                           performer_attention(q, k.narrow(2, 0, 30), v.narrow(2, 0, 30), directions)),
            1e-4);
}

// A longer query makes softmax a choice. Through elu + 1 it scales out: the weights stay those of its direction.
TEST(LinearAttention, CannotChooseAsASoftmaxCan) {
  at::manual_seed(23);
  const auto q = at::rand({1, 1, 4, 3}, kWide) + 1, k = at::randn({1, 1, 6, 3}, kWide);
  const auto spell = at::eye(6, kWide).view({1, 1, 6, 6});  // the output is the weights
  const auto chosen = attention(1000 * q, k, spell), spread = linear_attention(1000 * q, k, spell);
  EXPECT_GT(chosen.amax(-1).min().item<double>(), 0.99);
  EXPECT_LT(spread.amax(-1).max().item<double>(), 0.5);
  EXPECT_LE(relative_error(linear_attention(1e6 * q, k, spell), spread), 1e-3);
}

// Plain attention forgets in which order keys come with their values; Linformer's projections know every place.
TEST(Linformer, ProjectsPlacesAndRecordsProjections) {
  at::manual_seed(24);
  Linformer layer({.tokens = 12, .projected = 5});
  layer->to(at::kDouble);
  const auto q = at::randn({1, 2, 4, 3}, kWide), k = at::randn({1, 2, 12, 3}, kWide),
             v = at::randn({1, 2, 12, 3}, kWide);
  const auto order = at::arange(11, -1, -1, at::kLong);
  const auto turned_k = k.index_select(2, order), turned_v = v.index_select(2, order);
  EXPECT_LE(relative_error(attention(q, turned_k, turned_v), attention(q, k, v)), 1e-12);
  AttentionRecorder recorder(*layer);
  const auto plain = layer->forward(q, k, v);
  EXPECT_GT(relative_error(layer->forward(q, turned_k, turned_v), plain), 1e-3);
  const auto weights = recorder.maps().at(0).weights;
  ASSERT_EQ(weights.sizes(), at::IntArrayRef({1, 2, 4, 5}));
  EXPECT_LE(relative_error(at::matmul(weights.to(at::kDouble), at::matmul(layer->F, v)), plain), 1e-6);
}

// Bytes of all tensors of a forward and a backward pass, from N to 4N: dense attention by its formula multiplies them
// by 16, everything here by 4 (window edges and fixed tables make it a little less or more).
TEST(Memory, OfForwardAndBackwardIsLinear) {
  const auto leaf = [](int64_t N) { return at::rand({1, 1, N, 8}).requires_grad_(true); };
  const auto linear = AllOf(Gt(3.4), Lt(4.5));
  EXPECT_THAT(growth_of_bytes([&](int64_t N) {
                const auto x = leaf(N / 8);
                attention(x, x, x, {.backend = "reference"}).sum().backward();
              }),
              Each(Gt(10)));
  const auto sparse = [&](const std::function<SparsityPattern(int64_t)>& pattern, int64_t block) {
    return growth_of_bytes([&](int64_t N) {
      const SparseLayout layout(pattern(N), block);
      const auto x = leaf(N);
      sparse_attention(x, x, x, layout).sum().backward();
    });
  };
  EXPECT_THAT(sparse([](int64_t N) { return sliding_pattern(N, 32); }, 32), Each(linear));
  EXPECT_THAT(sparse([](int64_t N) { return sliding_pattern(N, 8, 4); }, 8), Each(linear));
  EXPECT_THAT(sparse([](int64_t N) { return sliding_pattern(N, 8) | global_pattern(N, {0, N / 2}); }, 8), Each(linear));
  EXPECT_THAT(sparse([](int64_t N) { return random_pattern(N, 3, 1); }, 1), Each(linear));
  EXPECT_THAT(sparse([](int64_t N) { return big_bird_pattern(N, {.block = 8}); }, 8), Each(linear));
  EXPECT_THAT(sparse([](int64_t N) { return grid_pattern(N / 16, 16, 2); }, 16), Each(linear));
  for (const bool causal : {false, true}) {
    EXPECT_THAT(growth_of_bytes([&](int64_t N) {
                  const auto x = leaf(N);
                  linear_attention(x, x, x, {.causal = causal}).sum().backward();
                }),
                Each(linear));
    const auto directions = orthogonal_directions(16, 8);
    EXPECT_THAT(growth_of_bytes([&](int64_t N) {
                  const auto x = leaf(N);
                  performer_attention(x, x, x, directions, {.causal = causal}).sum().backward();
                }),
                Each(linear));
  }
  EXPECT_THAT(growth_of_bytes([&](int64_t N) {
                Linformer layer({.tokens = N, .projected = 16});
                const auto x = leaf(N);
                layer->forward(x, x, x).sum().backward();
              }),
              Each(linear));
}

}  // namespace
}  // namespace fovea::testing
