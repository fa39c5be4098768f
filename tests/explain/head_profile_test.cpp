#include "fovea/vision/explain/head_profile.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fovea/tests/support/expect_error.h"

namespace fovea {
namespace {

// One image, heads of a grid 3×4 behind `prefix` tokens.
AttentionMap map_of(const at::Tensor& heads, int64_t prefix) {
  return {.path = "blocks.0.attn", .weights = heads.unsqueeze(0), .grid = {.height = 3, .width = 4, .prefix = prefix}};
}

// Every query looks at `key(query)` alone.
template <typename Key>
at::Tensor one_hot(int64_t tokens, Key key) {
  auto head = at::zeros({tokens, tokens});
  for (int64_t i = 0; i < tokens; ++i) head[i][key(i)] = 1;
  return head;
}

TEST(HeadProfile, OfConstructedHeads) {
  constexpr int64_t prefix = 3, tokens = prefix + 12;
  auto registers = at::zeros({tokens, tokens});
  registers.select(1, 0).fill_(0.5);  // half on CLS, a quarter each on two registers
  registers.slice(1, 1, 3).fill_(0.25);
  const auto maps = std::vector<AttentionMap>{
      map_of(at::stack({one_hot(tokens, [](int64_t i) { return i; }), at::full({tokens, tokens}, 1.0 / tokens),
                        registers, one_hot(tokens, [](int64_t i) { return std::max<int64_t>(0, i - 1); }),
                        one_hot(tokens, [](int64_t i) { return i; })}),
             prefix)};
  const auto layers = profile_heads(maps, 96, 64);  // cells of 32×16 pixels
  ASSERT_EQ(layers.size(), 1u);
  ASSERT_EQ(layers[0].heads.size(), 5u);
  const HeadProfile &self = layers[0].heads[0], &even = layers[0].heads[1], &onto = layers[0].heads[2],
                    &previous = layers[0].heads[3];
  EXPECT_EQ(self.entropy, 0);
  EXPECT_EQ(self.distance, 0);
  EXPECT_EQ(self.saturated, 1);
  EXPECT_EQ(self.kind, HeadClass::self);
  EXPECT_EQ(self.first, 0);

  double sum = 0;  // between all pairs of the 3×4 patches
  for (int i = 0; i < 12; ++i) {
    for (int j = 0; j < 12; ++j) sum += std::hypot(32 * (i / 4 - j / 4), 16 * (i % 4 - j % 4));
  }
  EXPECT_NEAR(even.entropy, 1, 1e-6);
  EXPECT_NEAR(even.distance, sum / 144, 1e-6);
  EXPECT_NEAR(layers[0].even_distance, sum / 144, 1e-6);
  EXPECT_NEAR(even.first, 1.0 / tokens, 1e-6);
  EXPECT_NEAR(even.registers, 2.0 / tokens, 1e-6);
  EXPECT_TRUE(even.idle);
  EXPECT_EQ(even.saturated, 0);

  EXPECT_NEAR(onto.first, 0.5, 1e-6);
  EXPECT_NEAR(onto.registers, 0.5, 1e-6);
  EXPECT_TRUE(std::isnan(onto.distance));  // none of it between patches
  EXPECT_TRUE(onto.idle);

  // The patch before: 16 pixels to the left, or from a row's first to the last of the one above; the first sees a
  // prefix.
  const double wrap = std::hypot(32.0, 3 * 16.0);
  EXPECT_NEAR(previous.distance, (9 * 16 + 2 * wrap) / 11, 1e-6);
  EXPECT_EQ(previous.kind, HeadClass::previous);
  EXPECT_EQ(layers[0].heads[4].twin, 0);
  EXPECT_FALSE(previous.twin);

  EXPECT_EQ(health_warnings(layers),
            (std::vector<std::string>{
                "blocks.0.attn: heads 0, 3, 4 saturated: in most rows one key has nearly all of the weight, and "
                "gradients vanish",
                "blocks.0.attn: heads 1, 2 idle: every query looks at the same",
                "blocks.0.attn: head 4 does the same as head 0"}));
}

TEST(HeadProfile, WithoutPrefixHasNoWeightOnIt) {
  const auto layers = profile_heads({map_of(at::rand({2, 12, 12}).softmax(-1), 0)}, 48, 48);
  EXPECT_TRUE(std::isnan(layers[0].heads[0].first));
  EXPECT_TRUE(std::isnan(layers[0].heads[1].registers));
  EXPECT_TRUE(health_warnings(layers).empty());
}

// Windows of 2×2 on a grid of 4×4, shifted by one: what the roll brought together from two borders counts in nothing.
TEST(HeadProfile, OfShiftedWindows) {
  for (const int64_t shift : {0, 1}) {
    AttentionMap map{.path = "layers.0.blocks.1.attn",
                     .grid = {.height = 4, .width = 4},
                     .window = 2,
                     .shift = shift,
                     .window_width = 2,
                     .shift_width = shift};
    // Rows and columns of the rolled grid that lie at one place each: 1 2 | 3 0 when shifted by one.
    const auto row_of = [&](int64_t place) { return (place + shift) % 4; };
    map.weights = at::zeros({4, 1, 4, 4});
    double expected = 0;
    int pairs = 0;
    for (int64_t window = 0; window < 4; ++window) {
      for (int64_t i = 0; i < 4; ++i) {
        std::vector<int64_t> open;
        const auto y = [&](int64_t p) { return row_of(window / 2 * 2 + p / 2); };
        const auto x = [&](int64_t p) { return row_of(window % 2 * 2 + p % 2); };
        for (int64_t j = 0; j < 4; ++j) {
          if (std::abs(y(i) - y(j)) < 2 && std::abs(x(i) - x(j)) < 2) open.push_back(j);
        }
        for (const int64_t j : open) {
          map.weights[window][0][i][j] = 1.0 / static_cast<double>(open.size());
          expected += 10 * std::hypot(y(i) - y(j), x(i) - x(j)) / static_cast<double>(open.size());
        }
        ++pairs;
      }
    }
    const auto layers = profile_heads({map}, 40, 40);
    // An open key that is alone gives an entropy of 0 by definition, all others 1.
    EXPECT_NEAR(layers[0].heads[0].entropy, shift == 0 ? 1 : 12.0 / 16, 1e-6);
    EXPECT_NEAR(layers[0].heads[0].distance, expected / pairs, 1e-6);
    EXPECT_NEAR(layers[0].even_distance, expected / pairs, 1e-6);
    EXPECT_EQ(layers[0].window, 2);
  }
}

TEST(HeadProfile, OfAQueryThatIsNoPatch) {
  AttentionMap map{
      .path = "attn_pool", .weights = at::rand({1, 2, 1, 12}).softmax(-1), .grid = {.height = 3, .width = 4}};
  const auto layers = profile_heads({map}, 48, 48);
  EXPECT_TRUE(std::isnan(layers[0].heads[0].distance));
  EXPECT_GT(layers[0].heads[0].entropy, 0.5);
  EXPECT_FALSE(layers[0].heads[0].idle);
}

TEST(HeadProfile, FindsNaN) {
  auto weights = at::rand({2, 12, 12}).softmax(-1);
  weights[1][3][4] = std::numeric_limits<float>::quiet_NaN();
  const auto layers = profile_heads({map_of(weights, 0)}, 48, 48);
  EXPECT_FALSE(layers[0].finite);
  EXPECT_EQ(health_warnings(layers),
            (std::vector<std::string>{"blocks.0.attn: the attention weights hold NaN or infinity"}));
}

TEST(HeadProfile, RefusesWhatIsMissing) {
  AttentionMap rows = map_of(at::rand({2, 12, 12}).softmax(-1), 0);
  rows.queries = {0};
  EXPECT_ERROR(profile_heads({rows}, 48, 48), ErrorKind::usage, "blocks.0.attn holds 1 rows");
  const AttentionMap gate{.path = "se", .kind = MapKind::channel, .weights = at::rand({1, 8})};
  EXPECT_ERROR(profile_heads({gate}, 48, 48), ErrorKind::usage, "no token attention");
}

}  // namespace
}  // namespace fovea
