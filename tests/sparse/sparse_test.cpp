// Sparse patterns against dense attention under the same mask, and their costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/sparse/linformer.h"
#include "fovea/modules/sparse/sparse_attention.h"
#include "fovea/tests/attention/oracle.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/sparse/growth.h"
#include "fovea/tests/sparse/recorded.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/multiply_adds.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// The definition of each pattern, pair by pair.
void expect_pairs(const SparsityPattern& pattern, const std::function<bool(int64_t, int64_t)>& allows) {
  const auto mask = pattern.mask();
  int64_t pairs = 0;
  for (int64_t i = 0; i < pattern.queries(); ++i) {
    for (int64_t j = 0; j < pattern.keys(); ++j) {
      ASSERT_EQ(mask[i][j].item<bool>(), allows(i, j)) << i << " " << j;
      pairs += allows(i, j) ? 1 : 0;
    }
  }
  EXPECT_EQ(pattern.pairs(), pairs);
}

TEST(SparsityPattern, EveryKindIsItsDefinition) {
  const auto near = [](int64_t i, int64_t j, int64_t half) { return std::abs(i - j) <= half; };
  expect_pairs(causal_pattern(9), [](int64_t i, int64_t j) { return j <= i; });
  expect_pairs(sliding_pattern(13, 2), [&](int64_t i, int64_t j) { return near(i, j, 2); });
  expect_pairs(sliding_pattern(13, 2, 3), [&](int64_t i, int64_t j) { return near(i, j, 6) && (i - j) % 3 == 0; });
  expect_pairs(global_pattern(9, {0, 5}), [](int64_t i, int64_t j) { return i == 0 || i == 5 || j == 0 || j == 5; });
  expect_pairs(strided_pattern(14, 4), [](int64_t i, int64_t j) { return j <= i && (i - j < 4 || (i - j) % 4 == 0); });
  expect_pairs(fixed_pattern(14, 4, 2), [](int64_t i, int64_t j) { return j <= i && (i / 4 == j / 4 || j % 4 >= 2); });
  expect_pairs(grid_pattern(4, 5, 1),
               [&](int64_t i, int64_t j) { return near(i / 5, j / 5, 1) && near(i % 5, j % 5, 1); });
  expect_pairs(sliding_pattern(9, 1) | global_pattern(9, {4}),
               [&](int64_t i, int64_t j) { return near(i, j, 1) || i == 4 || j == 4; });
  expect_pairs(sliding_pattern(9, 2) & causal_pattern(9),
               [&](int64_t i, int64_t j) { return near(i, j, 2) && j <= i; });
}

TEST(SparsityPattern, RandomKeysAreManyDifferentAndRepeatable) {
  const auto pattern = random_pattern(40, 7, 3);
  std::set<std::vector<int64_t>> rows;
  for (int64_t i = 0; i < 40; ++i) {
    EXPECT_EQ(pattern.row(i).size(), 7);
    rows.insert(pattern.row(i));
  }
  EXPECT_GT(rows.size(), 38);
  EXPECT_TRUE(at::equal(pattern.mask(), random_pattern(40, 7, 3).mask()));
  EXPECT_FALSE(at::equal(pattern.mask(), random_pattern(40, 7, 4).mask()));
  // Each key is drawn as often as any other: 40·7/40 = 7 times on average over many seeds.
  auto counts = at::zeros({40}, at::kLong);
  for (uint64_t seed = 0; seed < 200; ++seed) counts += random_pattern(40, 7, seed).mask().sum(0);
  EXPECT_GT(counts.min().item<int64_t>(), 1400 - 200);
  EXPECT_LT(counts.max().item<int64_t>(), 1400 + 200);
}

TEST(SparsityPattern, BigBirdHasWindowGlobalAndRandomBlocks) {
  const auto mask =
      big_bird_pattern(40, {.block = 4, .window_blocks = 3, .global_blocks = 1, .random_blocks = 2}).mask();
  const auto blocks = mask.view({10, 4, 10, 4}).permute({0, 2, 1, 3}).flatten(2);
  EXPECT_TRUE(at::equal(blocks.all(-1), blocks.any(-1)));  // whole blocks
  const auto seen = blocks.any(-1);
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(seen[0][i].item<bool>() && seen[i][0].item<bool>());
    for (int64_t j = std::max<int64_t>(0, i - 1); j <= std::min<int64_t>(9, i + 1); ++j)
      EXPECT_TRUE(seen[i][j].item<bool>());
    EXPECT_LE(seen[i].sum().item<int64_t>(), i > 0 ? 3 + 1 + 2 : 10);
  }
  EXPECT_GT(seen.sum().item<int64_t>(), 10 + 9 + 26);
}

TEST(SparsityPattern, RefusesWhatCannotBe) {
  EXPECT_THAT(error_of([] { SparsityPattern(3, {{0, 3}}); }), AllOf(StartsWith("2: "), HasSubstr("0…3")));
  EXPECT_THAT(error_of([] { sliding_pattern(3, 1) | sliding_pattern(4, 1); }), HasSubstr("union"));
  EXPECT_THAT(error_of([] { sliding_pattern(3, 1) & sliding_pattern(4, 1); }), HasSubstr("intersection"));
  EXPECT_THAT(error_of([] { sliding_pattern(3, 1, 0); }), HasSubstr("dilation 0"));
  EXPECT_THAT(error_of([] { random_pattern(3, 4, 0); }), HasSubstr("4 keys of 3"));
  EXPECT_THAT(error_of([] { fixed_pattern(3, 2, 3); }), HasSubstr("summary 3"));
  EXPECT_THAT(error_of([] { big_bird_pattern(8, {.window_blocks = 2}); }), HasSubstr("2 odd"));
  EXPECT_THAT(error_of([] { SparseLayout(causal_pattern(3), 0); }), HasSubstr("block 0"));
}

TEST(SparseAttention, EqualsDenseAttentionUnderTheMask) {
  at::manual_seed(1);
  const std::vector<SparsityPattern> patterns = {
      sliding_pattern(23, 3),
      sliding_pattern(23, 2, 3),
      sliding_pattern(23, 2) | global_pattern(23, {0, 11}),
      random_pattern(23, 4, 1),
      big_bird_pattern(23, {.block = 4, .random_blocks = 1}),
      strided_pattern(23, 4),
      fixed_pattern(23, 5),
      sliding_pattern(23, 5) & causal_pattern(23),
      SparsityPattern(23,
                      [] {
                        std::vector<std::vector<int64_t>> rows(23);
                        rows[3] = {1, 22};
                        return rows;
                      }()),
  };
  const auto q = at::randn({2, 3, 23, 4}, kWide), k = at::randn({2, 3, 23, 4}, kWide),
             v = at::randn({2, 3, 23, 5}, kWide);
  const auto key_mask = at::rand({2, 23}) > 0.2;
  for (const auto& pattern : patterns) {
    for (const int64_t block : {1, 4, 64}) {
      const SparseLayout layout(pattern, block);
      const auto expected = oracle_attention({.q = q, .k = k, .v = v, .allowed = pattern.mask(), .scale = 0.5});
      EXPECT_LE(relative_error(sparse_attention(q, k, v, layout), expected), 1e-12);
      const auto masked = oracle_attention(
          {.q = q, .k = k, .v = v, .allowed = pattern.mask().logical_and(key_mask.view({2, 1, 1, 23})), .scale = 0.7});
      EXPECT_LE(relative_error(sparse_attention(q, k, v, layout, {.scale = 0.7, .key_mask = key_mask}), masked), 1e-12);
    }
  }
  const SparseLayout layout(patterns[2], 4);
  const auto one = [](const at::Tensor& t) { return t.narrow(0, 0, 1).narrow(1, 0, 1); };
  const auto f = [&](const auto& in) {
    return sparse_attention(in[0], in[1], in[2], layout, {.key_mask = key_mask.narrow(0, 0, 1)});
  };
  EXPECT_LE(gradient_error(f, {one(q), one(k), one(v)}), 1e-5);
}

TEST(SparseAttention, NaNInMaskedKeysAndRecordingChangeNothing) {
  at::manual_seed(2);
  const SparseLayout layout(grid_pattern(4, 5, 1), 4);
  const auto q = at::randn({1, 2, 20, 4});
  auto k = at::randn({1, 2, 20, 4}), v = at::randn({1, 2, 20, 4});
  const auto key_mask = at::arange(20).ne(7).unsqueeze(0);
  const Linformer module({.tokens = 1, .projected = 1});  // stands for the calling layer
  const auto plain = sparse_attention(q, k, v, layout, {.key_mask = key_mask});
  k.select(2, 7).fill_(NAN);
  v.select(2, 7).fill_(INFINITY);
  AttentionRecorder recorder(*module, {.queries = {3, 6}});
  EXPECT_TRUE(at::equal(sparse_attention(q, k, v, layout, {.key_mask = key_mask, .module = module.get()}), plain));
  ASSERT_EQ(recorder.maps().size(), 1);
  const auto weights = recorder.maps()[0].weights;  // [1,2,2,20]
  const auto finite = at::where(at::isfinite(v), v, at::zeros({}));
  EXPECT_LE(relative_error(at::matmul(weights, finite), plain.index_select(2, at::tensor({3, 6}, at::kLong))), 1e-5);
  const AttentionRecorder graded(*module, {.queries = {3, 6}, .gradients = true});
  const auto grad = at::randn_like(plain);
  sparse_attention(q.clone().requires_grad_(true), k, v, layout, {.key_mask = key_mask, .module = module.get()})
      .backward(grad);
  expect_gradient_of_weights(graded.maps().at(0), grad, at::where(key_mask.view({1, 1, 20, 1}), v, at::zeros({})));
  EXPECT_THAT(error_of([&] { sparse_attention(q.narrow(2, 0, 19), k, v, layout); }),
              AllOf(StartsWith("3: "), HasSubstr("[1,2,19,4]")));
  EXPECT_THAT(error_of([&] { sparse_attention(q, k, v, layout, {.key_mask = key_mask.narrow(1, 0, 5)}); }),
              HasSubstr("key_mask"));
}

TEST(SparseAttention, CostFollowsTheBlocksPresent) {
  const auto run = [](SparsityPattern pattern, int64_t block) {
    const int64_t N = pattern.queries();
    const SparseLayout layout(std::move(pattern), block);
    const auto x = at::zeros({1, 1, N, 8});
    const MultiplyAdds counted;
    sparse_attention(x, x, x, layout);
    EXPECT_EQ(counted.count(), layout.blocks() * block * block * 8 * 2);
  };
  expect_growth(4, [&](int64_t N) { run(sliding_pattern(N, 31), 32); });
  expect_growth(4, [&](int64_t N) { run(big_bird_pattern(N, {.block = 8}), 8); });
  expect_growth(4, [&](int64_t N) { run(grid_pattern(N / 32, 32, 2), 32); });
  EXPECT_EQ(SparseLayout(sliding_pattern(1024, 32), 32).blocks(), 32 * 3 - 2);
}

}  // namespace
}  // namespace fovea::testing
