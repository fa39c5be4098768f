// The running average of weights against its recurrence.
#include "fovea/vision/training/ema.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {
namespace {

TEST(WeightAverage, FollowsTheWeights) {
  BatchNorm2d norm({.channels = 2});
  WeightAverage average(*norm, 0.25);
  const at::NoGradGuard no_grad;
  double expected = 1;
  for (const double value : {5.0, -2.0, 7.0, 3.0}) {
    norm->weight.fill_(value);
    norm->num_batches_tracked.fill_(static_cast<int64_t>(value));
    average.update();
    const auto n = static_cast<double>(average.updates());
    const double keep = std::min(0.25, (1 + n) / (10 + n));
    expected = keep * expected + (1 - keep) * value;
  }
  average.swap();
  EXPECT_NEAR(norm->weight[1].item<double>(), expected, 1e-6);
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 3);
  average.swap();
  EXPECT_DOUBLE_EQ(norm->weight[1].item<double>(), 3);
}

TEST(WeightAverage, WithoutDecayIsTheWeights) {
  BatchNorm2d norm({.channels = 3});
  WeightAverage average(*norm, 0);
  {
    const at::NoGradGuard no_grad;
    norm->weight.normal_();
  }
  const at::Tensor weight = norm->weight.detach().clone();
  average.update();
  average.swap();
  EXPECT_TRUE(norm->weight.equal(weight));
}

TEST(WeightAverage, LeavesTheParametersTheOptimiserKnows) {
  BatchNorm2d norm({.channels = 3});
  const at::Tensor parameter = norm->weight;
  WeightAverage average(*norm, 0.9);
  average.swap();
  average.swap();
  EXPECT_TRUE(norm->weight.is_same(parameter));
  EXPECT_TRUE(parameter.requires_grad());
}

TEST(WeightAverage, RefusesADecayThatIsNone) {
  BatchNorm2d norm({.channels = 1});
  EXPECT_THROW(WeightAverage(*norm, 1), Error);
  EXPECT_THROW(WeightAverage(*norm, -0.1), Error);
}

}  // namespace
}  // namespace fovea
