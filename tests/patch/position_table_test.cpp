#include "fovea/modules/patch/position_table.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

// Keys' cubic kernel with a = −0.5.
double cubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

// Weights of the `from` samples in sample `index` of `to`: the kernel widened by the reduction, cut at the borders.
std::vector<double> taps(int64_t from, int64_t to, int64_t index) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double widening = std::max(scale, 1.0);
  const double centre = (static_cast<double>(index) + 0.5) * scale;
  std::vector<double> weights(from);
  double sum = 0;
  for (int64_t j = 0; j < from; ++j) {
    weights[j] = cubic((static_cast<double>(j) + 0.5 - centre) / widening);
    sum += weights[j];
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

at::Tensor oracle(const at::Tensor& table, const TokenGrid& from, const TokenGrid& to) {
  const int64_t width = table.size(2);
  auto out = at::zeros({1, to.prefix + to.height * to.width, width}, at::kDouble);
  const auto in = table.to(at::kDouble).contiguous();
  const auto source = in.accessor<double, 3>();
  auto target = out.accessor<double, 3>();
  for (int64_t d = 0; d < width; ++d) {
    for (int64_t p = 0; p < to.prefix; ++p) target[0][p][d] = source[0][p][d];
    for (int64_t y = 0; y < to.height; ++y) {
      const auto rows = taps(from.height, to.height, y);
      for (int64_t x = 0; x < to.width; ++x) {
        const auto columns = taps(from.width, to.width, x);
        double sum = 0;
        for (int64_t i = 0; i < from.height; ++i) {
          for (int64_t j = 0; j < from.width; ++j) {
            sum += rows[i] * columns[j] * source[0][from.prefix + i * from.width + j][d];
          }
        }
        target[0][to.prefix + y * to.width + x][d] = sum;
      }
    }
  }
  return out;
}

at::Tensor random_table(const TokenGrid& grid, int64_t width) {
  return at::randn({1, grid.prefix + grid.height * grid.width, width});
}

TEST(PositionTable, EqualGridsGiveTheTableItself) {
  const TokenGrid grid = {.height = 3, .width = 5, .prefix = 2};
  const auto table = random_table(grid, 4);
  EXPECT_TRUE(resample_position_table(table, grid, grid).is_same(table));
}

TEST(PositionTable, OtherGridsEqualLoops) {
  at::manual_seed(3);
  struct Case {
    TokenGrid from, to;
  };
  for (const auto& [from, to] : std::vector<Case>{{{14, 14, 1}, {24, 24, 1}},
                                                  {{14, 14, 1}, {7, 9, 1}},
                                                  {{14, 14, 2}, {1, 1, 2}},
                                                  {{3, 5, 0}, {5, 3, 0}},  // as many tokens, another grid
                                                  {{1, 1, 1}, {4, 2, 1}},
                                                  {{24, 24, 0}, {5, 31, 0}}}) {
    const auto table = random_table(from, 3);
    const auto got = resample_position_table(table, from, to);
    EXPECT_LE(relative_error(got, oracle(table, from, to)), tolerance(at::kFloat)) << to.height << "x" << to.width;
  }
}

TEST(PositionTable, KeepsTheNumberType) {
  const TokenGrid from = {4, 4, 1}, to = {6, 2, 1};
  const auto table = random_table(from, 3).to(at::kBFloat16);
  const auto got = resample_position_table(table, from, to);
  EXPECT_EQ(got.scalar_type(), at::kBFloat16);
  EXPECT_LE(relative_error(got, oracle(table, from, to)), tolerance(at::kBFloat16));
}

TEST(PositionTable, GradientIsTheTransposedResampling) {
  const TokenGrid from = {3, 2, 1}, to = {5, 4, 1};
  const auto table = random_table(from, 2).requires_grad_();
  const auto cotangent = random_table(to, 2);
  resample_position_table(table, from, to).backward(cotangent);
  // The map is linear, so each gradient is the cotangent's product with the image of a unit table.
  auto expected = at::zeros(table.sizes(), at::kDouble);
  for (int64_t i = 0; i < table.numel(); ++i) {
    auto unit = at::zeros(table.sizes(), at::kDouble);
    unit.view(-1)[i] = 1;
    expected.view(-1)[i] = (oracle(unit, from, to) * cotangent).sum();
  }
  EXPECT_LE(relative_error(table.grad(), expected), tolerance(at::kFloat));
}

TEST(PositionTable, RefusesWhatDoesNotFit) {
  const TokenGrid grid = {2, 2, 1};
  const auto table = random_table(grid, 3);
  EXPECT_ERROR(resample_position_table(table, {2, 3, 1}, grid), ErrorKind::data, "expected [1,7,D], got [1,5,3]");
  EXPECT_ERROR(resample_position_table(table.squeeze(0), grid, grid), ErrorKind::data, "got [5,3]");
  EXPECT_ERROR(resample_position_table(table, grid, {2, 2, 0}), ErrorKind::data, "prefix 1 cannot become 0");
  EXPECT_ERROR(resample_position_table(table, grid, {0, 2, 1}), ErrorKind::data, "0x2");
}

}  // namespace
}  // namespace fovea::testing
