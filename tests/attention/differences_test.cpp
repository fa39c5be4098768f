// Inputs on which each mechanism answers otherwise than plain attention, in the way that its paper says.
#include <gtest/gtest.h>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/class_attention.h"
#include "fovea/modules/attention/hard.h"
#include "fovea/modules/attention/local.h"
#include "fovea/modules/attention/talking_heads.h"
#include "fovea/modules/patch/attention_pool.h"
#include "fovea/tests/sparse/growth.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

ScoreFunction score_of(Score kind) {
  ScoreFunction score({.kind = kind, .query_width = 2, .key_width = 2, .hidden = 6, .positions = 3});
  score->to(at::kDouble);
  return score;
}

int64_t best_of(Score kind, const at::Tensor& q, const at::Tensor& keys) {
  return score_of(kind)->forward(q, keys).argmax().item<int64_t>();
}

// A key equal to the query, one three times as long, and one as long that points a little aside.
TEST(Scores, DisagreeOnWhichKeyIsBest) {
  const auto q = at::tensor({1.0, 1.0}, kWide).view({1, 1, 2});
  const auto keys = at::tensor({1.0, 1.0, 3.0, 3.0, 1.5, 0.5}, kWide).view({1, 3, 2});
  EXPECT_EQ(best_of(Score::dot, q, keys), 1);  // length counts
  EXPECT_EQ(best_of(Score::scaled_dot, q, keys), 1);
  EXPECT_EQ(best_of(Score::l1, q, keys), 0);  // nearness counts
  EXPECT_EQ(best_of(Score::l2, q, keys), 0);
  EXPECT_EQ(best_of(Score::squared_l2, q, keys), 0);
  const auto cosine = score_of(Score::cosine)->forward(q, keys).flatten();  // the direction alone counts
  EXPECT_NEAR(cosine[0].item<double>(), 1, 1e-12);
  EXPECT_NEAR(cosine[1].item<double>(), 1, 1e-12);
  EXPECT_LT(cosine[2].item<double>(), 0.95);
  // The absolute sum and the root of squares order two keys apart from each other.
  const auto corner = at::tensor({3.0, 3.0, 1.0, 4.2}, kWide).view({1, 2, 2});
  EXPECT_EQ(best_of(Score::l1, q, corner), 1);
  EXPECT_EQ(best_of(Score::l2, q, corner), 0);
}

TEST(Scores, LearnedOnesDoWhatAProductCannot) {
  at::manual_seed(31);
  const auto q = at::randn({1, 1, 2}, kWide), keys = at::randn({1, 3, 2}, kWide);
  // q·k is the same both ways round; q·W·k is not.
  const auto both_ways = [&](Score kind) {
    auto score = score_of(kind);
    const auto there = score->forward(q, keys.narrow(1, 0, 1)), back = score->forward(keys.narrow(1, 0, 1), q);
    return std::abs((there - back).item<double>());
  };
  EXPECT_LE(both_ways(Score::dot), 1e-12);
  EXPECT_GT(both_ways(Score::general), 1e-3);
  // tanh ends: keys of any length add no more than Σ|v|.
  auto additive = score_of(Score::additive);
  const auto far = additive->forward(q, 1e6 * keys);
  EXPECT_LE(far.abs().max().item<double>(), additive->v.abs().sum().item<double>() * (1 + 1e-12));
  EXPECT_GT(score_of(Score::dot)->forward(q, 1e6 * keys).abs().max().item<double>(), 1e5);
  // The place alone: what stands there does not matter.
  auto location = score_of(Score::location);
  EXPECT_TRUE(at::equal(location->forward(q, keys), location->forward(q, -5 * keys)));
}

// One key that suits the query by far, outside of the window and inside.
TEST(LocalAttention, SeesNothingOutsideItsWindow) {
  at::manual_seed(32);
  LocalAttention layer({.score = {.kind = Score::dot, .query_width = 3, .key_width = 3}, .half_width = 2});
  const auto q = at::ones({1, 1, 3});
  const auto v = at::arange(20, at::kFloat).view({1, 20, 1});
  for (const int64_t place : {3, 11}) {
    auto k = at::zeros({1, 20, 3});
    k[0][place].fill_(10);
    const auto plain = attention(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)).item<double>();
    const auto local = layer->forward(q, k, v, {.first = 4}).context.item<double>();
    EXPECT_NEAR(plain, static_cast<double>(place), 1e-3);
    EXPECT_NEAR(local, place == 3 ? 3 : 4, 1e-3);  // the window is 2…6: without the key, their mean
  }
}

// Two keys of the same score: soft attention reads what lies between their values, hard attention one of them.
TEST(HardAttention, ReadsOneValueWhereSoftAttentionBlends) {
  HardAttention layer({.score = {.kind = Score::dot, .query_width = 2, .key_width = 2}});
  layer->eval();
  const auto q = at::ones({1, 1, 2}), k = at::ones({1, 2, 2});
  const auto v = at::tensor({-1.0F, 1.0F}).view({1, 2, 1});
  EXPECT_NEAR(attention(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)).item<double>(), 0, 1e-6);
  EXPECT_EQ(std::abs(layer->forward(q, k, v).context.item<double>()), 1);
}

// Plain heads know nothing of each other: a change of one head's queries stays in its part of the result.
TEST(TalkingHeads, OneHeadMovesAnother) {
  at::manual_seed(33);
  TalkingHeads layer({.dim = 4, .heads = 2});
  const at::NoGradGuard no_grad;
  for (auto& parameter : layer->parameters()) parameter.normal_(0, 0.7);
  layer->proj->weight.copy_(at::eye(4));
  const auto x = at::randn({1, 5, 4});
  const auto moved_part = [&] {
    const auto before = layer->forward(x);
    const auto kept = layer->qkv->weight.clone();
    layer->qkv->weight.narrow(0, 0, 2).add_(at::randn({2, 4}));  // queries of head 0
    const auto after = layer->forward(x);
    layer->qkv->weight.copy_(kept);
    return (after - before).narrow(2, 2, 2).abs().max().item<double>();  // of head 1
  };
  EXPECT_GT(moved_part(), 1e-4);
  for (const auto& mixing : {layer->proj_l, layer->proj_w}) {
    mixing->weight.copy_(at::eye(2));
    mixing->bias.zero_();
  }
  EXPECT_LE(moved_part(), 1e-7);  // nobody talks
}

// One query reads all tokens: linear, where every token as a query is quadratic.
TEST(OneQuery, CostIsLinearInTheTokens) {
  const at::NoGradGuard no_grad;
  ClassAttention of_class({.dim = 8, .heads = 2});
  AttentionPool pool({.dim = 8, .heads = 2});
  TalkingHeads every({.dim = 8, .heads = 2});
  of_class->to(at::kHalf);  // of which every product is counted: no kernel of ours computes it
  pool->to(at::kHalf);
  expect_growth(4, [&](int64_t N) { of_class->forward(at::rand({1, N, 8}, at::kHalf)); });
  expect_growth(4, [&](int64_t N) { pool->forward(at::rand({1, N, 8}, at::kHalf)); });
  const auto cost = [&](int64_t N) {
    const MultiplyAdds counted;
    every->forward(at::rand({1, N, 8}));
    return counted.count();
  };
  // 2N²(d + H) a head beside what each token costs by itself: H = 2, d = 4, D = 8.
  for (const int64_t N : {64, 256}) EXPECT_EQ(cost(N), 2 * 2 * N * N * (4 + 2) + N * 4 * 8 * 8) << N;
}

}  // namespace
}  // namespace fovea::testing
