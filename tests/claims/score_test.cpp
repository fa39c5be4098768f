// What is said of scores: how they spread with the width, and what that does to the softmax and to learning.
#include <gtest/gtest.h>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/score.h"
#include "fovea/modules/position/sinusoidal.h"
#include "fovea/tests/claims/figure.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

double value(const at::Tensor& t) {
  return t.item<double>();
}

// How a softmax over 64 scores of random unit-variance vectors behaves.
struct Behaviour {
  double largest = 0;   // weight, mean over the queries
  double entropy = 0;   // over log 64
  double gradient = 0;  // norm of d(weighted sum of random values)/d(scores)
};

Behaviour behaviour(const at::Tensor& scores) {
  const auto leaf = scores.detach().clone().requires_grad_(true);  // [N,64]
  const auto weights = at::softmax(leaf, -1);
  at::manual_seed(1);
  (weights * at::randn_like(weights)).sum().backward();
  const auto entropy = -(weights * at::log(weights.clamp_min(1e-30))).sum(-1) / std::log(64.0);
  return {value(weights.amax(-1).mean()), value(entropy.mean()), value(leaf.grad().norm(2, {1}).mean())};
}

TEST(Claim, TheVarianceOfADotProductIsItsWidth) {
  at::manual_seed(2);
  for (const int64_t d : {4, 16, 64, 256, 1024}) {
    const auto q = at::randn({8192, d}), k = at::randn({8192, d});
    const double variance = value((q * k).sum(1).var());
    figure("variance of q·k at d = {}: {:.1f}", d, variance);
    EXPECT_NEAR(variance / static_cast<double>(d), 1, 0.08);
  }
}

TEST(Claim, UnscaledScoresSaturateTheSoftmaxAndItsGradient) {
  at::manual_seed(3);
  std::vector<Behaviour> plain, scaled;
  for (const int64_t d : {4, 64, 1024}) {
    const auto products = at::matmul(at::randn({512, d}), at::randn({64, d}).t());
    plain.push_back(behaviour(products));
    scaled.push_back(behaviour(products / std::sqrt(static_cast<double>(d))));
    figure("d = {}: largest weight {:.2f} plain, {:.2f} scaled; gradient {:.4f} plain, {:.4f} scaled", d,
           plain.back().largest, scaled.back().largest, plain.back().gradient, scaled.back().gradient);
  }
  EXPECT_LT(plain[0].largest, 0.5);
  EXPECT_GT(plain[2].largest, 0.9);
  for (const Behaviour& one : scaled) EXPECT_NEAR(one.largest, 0.11, 0.04);
  EXPECT_LT(plain[2].gradient, 0.4 * scaled[2].gradient);
  EXPECT_NEAR(scaled[2].gradient / scaled[0].gradient, 1, 0.25);
}

// Additive scores stay small whatever the width, for tanh bounds what v sums up; they pay with a tanh a pair and
// column.
TEST(Claim, AdditiveScoresNeedNoScalingAtLargeWidths) {
  at::manual_seed(4);
  for (const int64_t d : {4, 1024}) {
    ScoreFunction additive({.kind = Score::additive, .query_width = d, .key_width = d});
    ScoreFunction dot({.kind = Score::dot, .query_width = d, .key_width = d});
    const at::NoGradGuard no_grad;
    const auto q = at::randn({128, d}), k = at::randn({64, d});
    const auto of_additive = [&] {
      const at::AutoGradMode on(true);
      return behaviour(additive->forward(q, k));
    }();
    const auto of_dot = [&] {
      const at::AutoGradMode on(true);
      return behaviour(dot->forward(q, k));
    }();
    const AllocatedBytes of_sums;
    additive->forward(q, k);
    const double bytes = static_cast<double>(of_sums.largest());
    figure(
        "d = {}: entropy {:.2f} additive, {:.2f} dot; largest tensor of the additive score {:.0f} kB against {:.0f} kB",
        d, of_additive.entropy, of_dot.entropy, bytes / 1e3, 128 * 64 * 4 / 1e3);
    EXPECT_GT(of_additive.entropy, 0.9);
    EXPECT_EQ(bytes, 128.0 * 64 * 4 * static_cast<double>(d));
    EXPECT_EQ(of_dot.entropy > 0.6, d == 4) << of_dot.entropy;
    EXPECT_EQ(of_dot.entropy < 0.2, d == 1024) << of_dot.entropy;
  }
}

TEST(Claim, PermutingTokensPermutesTheOutput) {
  at::manual_seed(5);
  const auto x = at::randn({2, 4, 50, 16}, at::kDouble);
  const auto order = at::randperm(50, at::TensorOptions(at::kLong));
  const auto permuted = x.index_select(2, order);
  const auto answer = attention(x, x, x).index_select(2, order);
  EXPECT_LE(relative_error(attention(permuted, permuted, permuted), answer), 1e-13);
  // With places it does not: the order is seen.
  const auto places = sinusoidal_positions(50, 16).to(at::kDouble);
  const auto placed = [&](const at::Tensor& t) {
    const auto y = t + places;
    return attention(y, y, y);
  };
  const double error = relative_error(placed(permuted), placed(x).index_select(2, order));
  figure("permuted tokens: {:.1e} without places, {:.2f} with sinusoids (relative)",
         relative_error(attention(permuted, permuted, permuted), answer), error);
  EXPECT_GT(error, 0.1);
}

}  // namespace
}  // namespace fovea::testing
