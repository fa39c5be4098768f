#include "fovea/modules/patch/drop_path.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>

#include <limits>

#include "fovea/tests/support/expect_error.h"

namespace fovea::testing {
namespace {

TEST(DropPath, IsTheInputOutsideTrainingAndAtZero) {
  const auto x = at::randn({4, 3});
  DropPath drop({.probability = 0.5});
  drop->eval();
  EXPECT_TRUE(drop->forward(x).is_same(x));
  DropPath never({.probability = 0.0});
  EXPECT_TRUE(never->is_training());
  EXPECT_TRUE(never->forward(x).is_same(x));
}

TEST(DropPath, DropsWholeSamplesAndKeepsTheExpectation) {
  at::manual_seed(5);
  constexpr int64_t samples = 20000;
  constexpr double probability = 0.3;
  DropPath drop({.probability = probability});
  const auto y = drop->forward(at::ones({samples, 2, 3})).flatten(1);
  const auto kept = y.select(1, 0) != 0;
  EXPECT_TRUE(at::equal(y, kept.unsqueeze(1).expand_as(y) / (1 - probability)));
  // Four standard errors of a binomial share.
  const double error = 4 * std::sqrt(probability * (1 - probability) / samples);
  EXPECT_NEAR(kept.to(at::kDouble).mean().item<double>(), 1 - probability, error);
  EXPECT_NEAR(y.mean().item<double>(), 1.0, error / (1 - probability));
}

TEST(DropPath, KeepsTypeAndPassesGradientsToKeptSamplesAlone) {
  at::manual_seed(6);
  DropPath drop({.probability = 0.5});
  auto x = at::ones({64, 2}, at::kBFloat16).requires_grad_();
  const auto y = drop->forward(x);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), y.detach()));
  EXPECT_GT((y == 0).sum().item<int64_t>(), 0);
  EXPECT_GT((y == 2).sum().item<int64_t>(), 0);
}

TEST(DropPath, ClonesWithItsProbability) {
  torch::nn::Sequential net(DropPath(DropPathOptions{.probability = 0.25}));
  const auto copy = std::dynamic_pointer_cast<torch::nn::SequentialImpl>(net->clone());
  const auto drop = std::dynamic_pointer_cast<DropPathImpl>(copy->ptr(0));
  ASSERT_TRUE(drop);
  EXPECT_EQ(drop->options.probability, 0.25);
}

TEST(DropPath, RateRisesLinearlyToTheLastBlock) {
  EXPECT_EQ(drop_path_rate(0.2, 0, 5), 0.0);
  EXPECT_DOUBLE_EQ(drop_path_rate(0.2, 1, 5), 0.05);
  EXPECT_DOUBLE_EQ(drop_path_rate(0.2, 4, 5), 0.2);
  EXPECT_EQ(drop_path_rate(0.2, 0, 1), 0.0);
}

TEST(DropPath, RefusesWhatIsNoProbability) {
  for (const double wrong : {-0.1, 1.0, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_ERROR(DropPath(DropPathOptions{.probability = wrong}), ErrorKind::usage, "DropPath: probability");
  }
}

}  // namespace
}  // namespace fovea::testing
