#include "fovea/modules/window/relative_bias.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

// The near offsets of a larger window keep the places of the smaller one's, the far ones are spread to its border.
TEST(RelativeBias, ALargerWindowKeepsNearOffsetsAndSpreadsFarOnes) {
  const auto table = at::randn({49, 2});  // W = 4
  const auto larger = resample_relative_bias(table, 8);
  ASSERT_EQ(larger.sizes(), at::IntArrayRef({225, 2}));
  const auto old = table.view({7, 7, 2}), made = larger.view({15, 15, 2});
  for (int64_t dy = -1; dy <= 1; ++dy) {
    for (int64_t dx = -1; dx <= 1; ++dx) {
      EXPECT_LE((made[7 + dy][7 + dx] - old[3 + dy][3 + dx]).abs().max().item<float>(), 1e-6);
    }
  }
  EXPECT_LE((made[14][0] - old[6][0]).abs().max().item<float>(), 1e-4);  // beyond the last, the last
  EXPECT_TRUE(at::equal(resample_relative_bias(table, 4), table));
  EXPECT_LE(relative_error(resample_relative_bias(at::ones({49, 2}), 6), at::ones({121, 2})), 1e-6);
  const auto by_head = table.t().reshape({2, 7, 7});
  EXPECT_TRUE(at::equal(resample_relative_bias(by_head, 8), larger.t().reshape({2, 15, 15})));
  EXPECT_ERROR(resample_relative_bias(at::zeros({2, 7, 5}), 4), ErrorKind::data, "[2,7,5] is not square");
  EXPECT_ERROR(resample_relative_bias(at::zeros({48, 2}), 4), ErrorKind::data, "got [48,2]");
}

}  // namespace
}  // namespace fovea::testing
