#include "fovea/modules/weights/adapt.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace fovea {
namespace {

TEST(Adapt, ClassifiersAreKnownByTheirKeys) {
  for (const char* key : {"head.weight", "head.bias", "head.fc.weight", "head_dist.bias", "fc.weight",
                          "classifier.weight", "last_linear.bias"}) {
    EXPECT_TRUE(is_classifier(key)) << key;
  }
  for (const char* key : {"head.norm.weight", "layer1.0.se.fc.weight", "fc1.weight", "header.weight", "fc.weights"}) {
    EXPECT_FALSE(is_classifier(key)) << key;
  }
}

TEST(Adapt, AMatrixIsAOneByOneConvolution) {
  EXPECT_TRUE(same_but_trailing_ones({2, 8}, {2, 8, 1, 1}));
  EXPECT_TRUE(same_but_trailing_ones({2, 8, 1, 1}, {2, 8}));
  EXPECT_TRUE(same_but_trailing_ones({2, 8}, {2, 8}));
  EXPECT_FALSE(same_but_trailing_ones({2, 8}, {8, 2, 1, 1}));
  EXPECT_FALSE(same_but_trailing_ones({2, 8}, {2, 8, 1, 3}));
  EXPECT_FALSE(same_but_trailing_ones({2, 8}, {2, 1, 1, 8}));
}

TEST(Adapt, ColoursAreSummedForOneChannel) {
  const at::Tensor weight = at::randn({4, 3, 2, 2}, at::kDouble);
  const at::Tensor one = adapt_tensor("conv1.weight", weight, {4, 1, 2, 2}, TableResampling::antialiased);
  ASSERT_EQ(one.sizes(), at::IntArrayRef({4, 1, 2, 2}));
  for (int64_t o = 0; o < 4; ++o) {
    const double sum =
        weight[o][0][1][0].item<double>() + weight[o][1][1][0].item<double>() + weight[o][2][1][0].item<double>();
    EXPECT_NEAR(one[o][0][1][0].item<double>(), sum, 1e-6);
  }
}

TEST(Adapt, ColoursAreRepeatedForMoreChannels) {
  const at::Tensor weight = at::randn({2, 3, 1, 1});
  const at::Tensor five = adapt_tensor("patch_embed.proj.weight", weight, {2, 5, 1, 1}, TableResampling::plain);
  ASSERT_EQ(five.sizes(), at::IntArrayRef({2, 5, 1, 1}));
  for (int64_t channel = 0; channel < 5; ++channel) {
    EXPECT_NEAR(five[1][channel].item<float>(), weight[1][channel % 3].item<float>() * 3 / 5, 1e-6);
  }
}

// Weights of the four neighbours at a distance of `part` behind the second.
std::array<double, 4> cubic(double part) {
  constexpr double a = -0.75;
  const auto weight = [](double x) {
    x = std::abs(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  };
  return {weight(part + 1), weight(part), weight(1 - part), weight(2 - part)};
}

// One value of a [n,n] grid resampled to m×m, by loops.
double resampled(const at::Tensor& grid, int64_t m, bool corners, std::array<int64_t, 2> place) {
  const int64_t n = grid.size(0);
  const auto source = [&](int64_t i) {
    return corners ? static_cast<double>(i) * static_cast<double>(n - 1) / static_cast<double>(m - 1)
                   : (static_cast<double>(i) + 0.5) * static_cast<double>(n) / static_cast<double>(m) - 0.5;
  };
  const double row = source(place[0]), column = source(place[1]);
  const auto rows = cubic(row - std::floor(row)), columns = cubic(column - std::floor(column));
  const auto clamped = [&](double at, int64_t i) {
    return std::clamp<int64_t>(static_cast<int64_t>(std::floor(at)) - 1 + i, 0, n - 1);
  };
  double sum = 0;
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < 4; ++j) {
      sum += rows[static_cast<size_t>(i)] * columns[static_cast<size_t>(j)] *
             grid[clamped(row, i)][clamped(column, j)].item<double>();
    }
  }
  return sum;
}

TEST(Adapt, PositionTablesAreResampledAsTheirAuthorsDo) {
  const at::Tensor table = at::randn({1, 2 + 25, 3});
  for (const bool corners : {false, true}) {
    for (const int64_t side : {3, 8}) {
      const at::Tensor got = adapt_tensor("pos_embed", table, {1, 2 + side * side, 3},
                                          corners ? TableResampling::corners : TableResampling::plain);
      ASSERT_EQ(got.size(1), 2 + side * side);
      EXPECT_TRUE(got.slice(1, 0, 2).equal(table.slice(1, 0, 2)));
      const at::Tensor grid = table[0].slice(0, 2).select(1, 1).view({5, 5}).to(at::kDouble);
      for (int64_t i = 0; i < side; ++i) {
        for (int64_t j = 0; j < side; ++j) {
          EXPECT_NEAR(got[0][2 + i * side + j][1].item<double>(), resampled(grid, side, corners, {i, j}), 1e-5);
        }
      }
    }
  }
}

TEST(Adapt, OtherTensorsHaveNoWay) {
  const auto fits = [](const char* key, at::IntArrayRef from, at::IntArrayRef to) {
    return adapt_tensor(key, at::randn(from), to, TableResampling::antialiased).defined();
  };
  EXPECT_TRUE(fits("pos_embed", {1, 17, 4}, {1, 10, 4}));
  EXPECT_FALSE(fits("pos_embed", {1, 17, 4}, {1, 10, 5}));  // another width
  EXPECT_FALSE(fits("pos_embed", {1, 17, 4}, {1, 13, 4}));  // no square
  EXPECT_FALSE(fits("pos_embed", {17, 4}, {10, 4}));
  EXPECT_TRUE(fits("a.relative_position_bias_table", {9, 4}, {25, 4}));
  EXPECT_TRUE(fits("a.relative_position_bias_table", {4, 3, 3}, {4, 5, 5}));
  EXPECT_FALSE(fits("a.relative_position_bias_table", {4, 3, 3}, {5, 5, 5}));  // other heads
  EXPECT_FALSE(fits("a.relative_position_bias_table", {4, 3, 3}, {4, 5, 3}));  // no square
  EXPECT_FALSE(fits("a.relative_position_bias_table", {16, 4}, {25, 4}));      // an even side
  EXPECT_FALSE(fits("conv1.weight", {4, 4, 3, 3}, {4, 1, 3, 3}));              // no colours
  EXPECT_FALSE(fits("conv1.weight", {4, 3, 3, 3}, {4, 1, 5, 5}));
  EXPECT_FALSE(fits("conv2.weight", {4, 3, 3, 3}, {4, 1, 3, 3}));
  EXPECT_FALSE(
      adapt_tensor("pos_embed", at::zeros({1, 17, 4}, at::kLong), {1, 10, 4}, TableResampling::plain).defined());
}

}  // namespace
}  // namespace fovea
