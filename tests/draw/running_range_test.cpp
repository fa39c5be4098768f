#include "fovea/vision/draw/running_range.h"

#include <gtest/gtest.h>

namespace fovea {
namespace {

Heat heat_between(float low, float high) {
  return {.height = 1, .width = 3, .values = {high, low, (low + high) / 2}};
}

TEST(RunningRange, ComesHalfOfTheWayInAHalfLife) {
  RunningRange range(2);
  EXPECT_EQ(range.follow(heat_between(0, 1), 0), (std::array{0.0, 1.0}));
  EXPECT_EQ(range.follow(heat_between(4, 9), 2), (std::array{2.0, 5.0}));
  const auto later = range.follow(heat_between(4, 9), 4);  // two more
  EXPECT_NEAR(later[0], 3.5, 1e-12);
  EXPECT_NEAR(later[1], 8, 1e-12);
  // As fast in many steps as in one.
  RunningRange often(2);
  often.follow(heat_between(0, 1), 0);
  for (int i = 0; i < 50; ++i) often.follow(heat_between(4, 9), 0.04);
  EXPECT_NEAR(often.follow(heat_between(4, 9), 0)[1], 5, 1e-9);
}

TEST(RunningRange, AFlashChangesLittle) {
  RunningRange range(2);
  range.follow(heat_between(0, 1), 0);
  EXPECT_LT(range.follow(heat_between(0, 11), 0.04)[1], 1.2);
}

}  // namespace
}  // namespace fovea
