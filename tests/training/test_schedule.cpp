// The learning rate against its closed form.
#include "fovea/vision/training/schedule.h"

#include <gtest/gtest.h>

namespace fovea {
namespace {

TEST(Schedule, RisesLinearlyToThePeak) {
  const ScheduleOptions options{.peak = 0.8, .warmup_steps = 4, .total_steps = 12};
  EXPECT_DOUBLE_EQ(learning_rate(options, 0), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(options, 1), 0.4);
  EXPECT_DOUBLE_EQ(learning_rate(options, 3), 0.8);
}

TEST(Schedule, FallsAsHalfACosine) {
  const ScheduleOptions options{.peak = 1, .floor = 0.2, .warmup_steps = 4, .total_steps = 12};
  EXPECT_DOUBLE_EQ(learning_rate(options, 4), 1);
  EXPECT_NEAR(learning_rate(options, 6), 0.2 + 0.8 * (1 + 0.70710678118654752) / 2, 1e-15);
  EXPECT_NEAR(learning_rate(options, 8), 0.6, 1e-15);
  EXPECT_NEAR(learning_rate(options, 10), 0.2 + 0.8 * (1 - 0.70710678118654752) / 2, 1e-15);
  EXPECT_DOUBLE_EQ(learning_rate(options, 12), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(options, 1000), 0.2);
}

TEST(Schedule, WorksWithoutWarmUpAndWithNothingElse) {
  EXPECT_DOUBLE_EQ(learning_rate({.peak = 3, .total_steps = 5}, 0), 3);
  EXPECT_DOUBLE_EQ(learning_rate({.peak = 3, .warmup_steps = 5, .total_steps = 5}, 4), 3);
  EXPECT_DOUBLE_EQ(learning_rate({.peak = 3, .warmup_steps = 5, .total_steps = 5}, 5), 0);
}

}  // namespace
}  // namespace fovea
