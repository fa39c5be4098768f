// Single steps of the optimisers against their formulas, and their state by name.
#include "fovea/vision/training/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/linear.h"

namespace fovea {
namespace {

Linear filled(double value) {
  Linear linear({.in_features = 2, .out_features = 2});
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : linear->parameters()) parameter.fill_(value);
  return linear;
}

void set_gradients(const Linear& linear, double value) {
  for (at::Tensor& parameter : linear->parameters()) parameter.mutable_grad() = at::full_like(parameter, value);
}

TEST(TrainingOptimizer, AdamWMovesByTheRateAndDecaysMatricesOnly) {
  const Linear linear = filled(1.0);
  TrainingOptimizer optimizer(*linear, {.kind = OptimizerKind::adamw, .weight_decay = 0.5});
  set_gradients(linear, 3.0);
  optimizer.step(0.1);
  // The first step of Adam is lr·g/(|g| + ε).
  EXPECT_NEAR(linear->weight[0][1].item<double>(), 1 * (1 - 0.1 * 0.5) - 0.1, 1e-6);
  EXPECT_NEAR(linear->bias[0].item<double>(), 1 - 0.1, 1e-6);
}

TEST(TrainingOptimizer, SgdIsNesterovs) {
  const Linear linear = filled(1.0);
  TrainingOptimizer optimizer(*linear, {.kind = OptimizerKind::sgd, .weight_decay = 0, .momentum = 0.9});
  set_gradients(linear, 2.0);
  optimizer.step(0.1);  // m = 2, update g + 0.9·m = 3.8
  EXPECT_NEAR(linear->bias[0].item<double>(), 1 - 0.38, 1e-6);
  set_gradients(linear, 1.0);
  optimizer.step(0.01);  // m = 0.9·2 + 1 = 2.8, update 1 + 0.9·2.8 = 3.52
  EXPECT_NEAR(linear->bias[0].item<double>(), 1 - 0.38 - 0.0352, 1e-6);
}

TEST(TrainingOptimizer, ClipsToTheNormOfAllGradientsTogether) {
  const Linear linear = filled(0);
  TrainingOptimizer optimizer(*linear, {});
  set_gradients(linear, 2.0);  // six numbers
  EXPECT_NEAR(optimizer.clip_gradients(0), 2 * std::sqrt(6.0), 1e-6);
  EXPECT_NEAR(linear->bias.grad()[0].item<double>(), 2, 1e-7);
  EXPECT_NEAR(optimizer.clip_gradients(1), 2 * std::sqrt(6.0), 1e-6);
  EXPECT_NEAR(linear->bias.grad()[0].item<double>(), 1 / std::sqrt(6.0), 1e-6);
  EXPECT_NEAR(optimizer.clip_gradients(5), 1, 1e-6);
}

TEST(TrainingOptimizer, GoesOnFromARestoredState) {
  for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd}) {
    const Linear one = filled(1.0), two = filled(1.0);
    TrainingOptimizer through(*one, {.kind = kind}), before(*two, {.kind = kind}), after(*two, {.kind = kind});
    for (const double gradient : {1.0, -3.0}) {
      set_gradients(one, gradient);
      through.step(0.1);
      set_gradients(two, gradient);
      before.step(0.1);
    }
    after.restore(StateDict(before.state()));
    set_gradients(one, 0.5);
    through.step(0.1);
    set_gradients(two, 0.5);
    after.step(0.1);
    EXPECT_TRUE(one->weight.equal(two->weight));
    EXPECT_TRUE(one->bias.equal(two->bias));
  }
}

TEST(TrainingOptimizer, RefusesTheStateOfAnotherModel) {
  Linear wide({.in_features = 3, .out_features = 2});
  set_gradients(wide, 1.0);
  TrainingOptimizer other(*wide, {});
  other.step(0.1);
  const Linear linear = filled(1.0);
  TrainingOptimizer optimizer(*linear, {});
  try {
    optimizer.restore(StateDict(other.state()));
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_STREQ(error.what(), "optimizer state: weight/exp_avg has 6 elements, expected 4");
  }
}

}  // namespace
}  // namespace fovea
