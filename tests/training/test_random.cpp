// The counter-based random numbers.
#include "fovea/vision/training/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>

#include <ATen/Context.h>

namespace fovea {
namespace {

TEST(Random, DependsOnBothKeysAlone) {
  Random a(1, 2), same(1, 2), other_key(2, 2), other_stream(1, 3), exchanged(2, 1);
  const uint64_t first = a.next();
  EXPECT_EQ(first, same.next());
  EXPECT_NE(first, other_key.next());
  EXPECT_NE(first, other_stream.next());
  EXPECT_NE(first, exchanged.next());
}

// tests/support/seeded.cpp, for every program of tests.
TEST(Random, OfLibTorchBeginsAtTheSamePlaceInEveryTest) {
  const char* seed = std::getenv("FOVEA_SEED");
  EXPECT_EQ(at::globalContext().defaultGenerator(at::kCPU).current_seed(), seed ? std::strtoull(seed, nullptr, 10) : 0);
}

TEST(Random, IsUniform) {
  Random random(5);
  std::array<int, 10> counts{};
  double sum = 0;
  constexpr int draws = 100'000;
  for (int i = 0; i < draws; ++i) {
    ++counts[static_cast<size_t>(random.below(10))];
    const double u = random.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  double chi_squared = 0;
  for (const int count : counts) chi_squared += (count - draws / 10.0) * (count - draws / 10.0) / (draws / 10.0);
  EXPECT_LT(chi_squared, 27.9);  // 9 degrees of freedom, p = 0.001
  EXPECT_NEAR(sum / draws, 0.5, 4 * 0.2887 / 316);
}

TEST(Random, PermutationsHoldEveryNumberOnceAndEveryOrderOccurs) {
  std::set<std::vector<int64_t>> orders;
  Random random(9);
  for (int i = 0; i < 500; ++i) {
    std::vector<int64_t> order = permutation(4, random);
    orders.insert(order);
    std::sort(order.begin(), order.end());
    ASSERT_EQ(order, (std::vector<int64_t>{0, 1, 2, 3}));
  }
  EXPECT_EQ(orders.size(), 24u);
  EXPECT_TRUE(permutation(0, random).empty());
}

}  // namespace
}  // namespace fovea
