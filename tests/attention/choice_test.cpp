// Hard and coverage attention against plain loops in fp64 and exact expectations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/coverage.h"
#include "fovea/modules/attention/hard.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/multiply_adds.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

HardAttention make_hard(HardEstimator estimator = HardEstimator::reinforce,
                        HardInference inference = HardInference::argmax) {
  HardAttention layer({.score = {.kind = Score::dot, .query_width = 3, .key_width = 3},
                       .estimator = estimator,
                       .temperature = 0.7,
                       .inference = inference});
  layer->to(at::kDouble);
  return layer;
}

struct Estimate {
  at::Tensor mean, variance;  // of one draw's gradient in the query
};

// Gradient of −E[reward] in q from `draws` single draws.
Estimate estimated_gradient(const at::Tensor& q, const at::Tensor& k, const at::Tensor& reward, double baseline,
                            int64_t draws) {
  auto layer = make_hard();
  const auto many = q.expand({draws, 1, 3}).clone().requires_grad_(true);
  const auto result = layer->forward(many, k.expand({draws, -1, -1}), k.expand({draws, -1, -1}));
  const auto rewards = reward.index_select(0, result.choice.flatten());
  (reinforce_loss(result, rewards, baseline) * draws).backward();  // the mean becomes a sum: one row a draw
  const auto gradients = many.grad().squeeze(1);
  return {gradients.mean(0), gradients.var(0)};
}

TEST(HardAttention, ReinforceIsUnbiasedAndTheBaselineLowersItsVariance) {
  at::manual_seed(7);
  const auto q = at::randn({1, 1, 3}, kWide), k = at::randn({1, 5, 3}, kWide);
  const auto reward = at::randn({5}, kWide) + 4;
  // The exact expectation, differentiated.
  const auto leaf = q.clone().requires_grad_(true);
  const auto a = at::softmax(at::matmul(leaf, k.transpose(1, 2)), -1).flatten();
  (-(a * reward).sum()).backward();
  const auto exact = leaf.grad().flatten();
  const int64_t draws = 40'000;
  const auto expected_reward = (a * reward).sum().item<double>();
  const auto plain = estimated_gradient(q, k, reward, 0, draws);
  const auto better = estimated_gradient(q, k, reward, expected_reward, draws);
  for (const auto& estimate : {plain, better}) {
    const auto errors = (estimate.mean - exact).abs() / (estimate.variance / static_cast<double>(draws)).sqrt();
    EXPECT_LE(errors.max().item<double>(), 3) << estimate.mean << exact;
  }
  EXPECT_LT(better.variance.sum().item<double>(), 0.2 * plain.variance.sum().item<double>());
}

TEST(HardAttention, MovingBaselineFollowsRewardsAndEntropyIsRewarded) {
  MovingBaseline baseline(0.25);
  baseline.update(at::tensor({2.0, 4.0}));
  EXPECT_DOUBLE_EQ(baseline.value(), 0.75);
  baseline.update(at::tensor({1.0}));
  EXPECT_DOUBLE_EQ(baseline.value(), 0.8125);
  auto layer = make_hard();
  const auto q = at::randn({2, 3, 3}, kWide), k = at::randn({2, 4, 3}, kWide);
  const auto result = layer->forward(q, k, k);
  const auto reward = at::ones({2}, kWide);
  double entropy = 0;
  for (const double w : row(result.weights.flatten())) entropy -= w * std::log(w);
  EXPECT_NEAR((reinforce_loss(result, reward) - reinforce_loss(result, reward, 0, 0.5)).item<double>(),
              0.5 * entropy / 6, 1e-12);
}

TEST(HardAttention, SamplesFollowTheWeightsAndEvaluationTakesTheBest) {
  at::manual_seed(8);
  const int64_t draws = 20'000;
  const auto q = at::randn({1, 1, 3}, kWide), k = at::randn({1, 4, 3}, kWide);
  for (const bool training : {true, false}) {
    auto layer = make_hard(HardEstimator::reinforce, HardInference::sample);
    layer->train(training);
    const auto result = layer->forward(q.expand({draws, 1, 3}), k.expand({draws, 4, 3}), k.expand({draws, 4, 3}));
    for (int64_t j = 0; j < 4; ++j) {
      const double p = result.weights[0][0][j].item<double>();
      const double share = result.choice.eq(j).to(at::kDouble).mean().item<double>();
      EXPECT_LE(std::abs(share - p), 4 * std::sqrt(p * (1 - p) / static_cast<double>(draws)));
      EXPECT_NEAR(result.log_probability.flatten().masked_select(result.choice.flatten().eq(j))[0].item<double>(),
                  std::log(p), 1e-12);
    }
  }
  auto best = make_hard();
  best->eval();
  const auto result = best->forward(q, k, k);
  EXPECT_EQ(result.choice.item<int64_t>(), result.weights.argmax().item<int64_t>());
}

TEST(HardAttention, InferenceReadsOneRowOfTheValues) {
  for (const auto inference : {HardInference::argmax, HardInference::sample}) {
    for (const auto estimator : {HardEstimator::reinforce, HardEstimator::gumbel}) {
      at::manual_seed(9);
      auto layer = make_hard(estimator, inference);
      layer->eval();
      const auto q = at::randn({1, 1, 3}, kWide), k = at::randn({1, 50, 3}, kWide);
      auto values = at::full({1, 50, 7}, NAN, kWide);
      at::manual_seed(10);
      const int64_t chosen = layer->forward(q, k, at::zeros({1, 50, 7}, kWide)).choice.item<int64_t>();
      values[0][chosen].fill_(2.5);
      at::manual_seed(10);  // the same draw
      const MultiplyAdds counted;
      EXPECT_TRUE(at::equal(layer->forward(q, k, values).context, at::full({1, 1, 7}, 2.5, kWide)));
      EXPECT_EQ(counted.count(), 50 * 3);  // the scores alone; no product touches the values
    }
  }
}

TEST(HardAttention, GumbelIsHardForwardAndSoftBackward) {
  at::manual_seed(10);
  auto layer = make_hard(HardEstimator::gumbel);
  const auto q = at::randn({2, 2, 3}, kWide).requires_grad_(true), k = at::randn({2, 5, 3}, kWide),
             v = at::randn({2, 5, 4}, kWide);
  const auto result = layer->forward(q, k, v);
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t n = 0; n < 2; ++n) {
      EXPECT_LE(relative_error(result.context[b][n], v[b][result.choice[b][n].item<int64_t>()]), 1e-12);
    }
  }
  // Its gradient is that of softmax((log a + g)/τ)·v with the same noise, which the same seed draws again.
  const auto weigh = at::cos(at::arange(16, kWide)).view({2, 2, 4});
  const auto noise_seed = 11;
  at::manual_seed(noise_seed);
  const auto once = layer->forward(q, k, v);
  (once.context * weigh).sum().backward();
  const auto got = q.grad().clone();
  at::manual_seed(noise_seed);
  const auto leaf = q.detach().clone().requires_grad_(true);
  const auto a = at::softmax(at::matmul(leaf, k.transpose(1, 2)), -1);
  const auto g = -at::empty_like(a).exponential_(1).log();
  (at::matmul(at::softmax((a.log() + g) / 0.7, -1), v) * weigh).sum().backward();
  EXPECT_LE(relative_error(got, leaf.grad()), 1e-10);
}

TEST(HardAttention, MasksAndRefuses) {
  at::manual_seed(12);
  auto layer = make_hard();
  const auto q = at::randn({2, 50, 3}, kWide);
  auto k = at::randn({2, 4, 3}, kWide);
  const auto mask = at::tensor({0, 1, 1, 0, 0, 0, 0, 0}).to(at::kBool).view({2, 4});
  k[0][3].fill_(NAN);
  const auto result = layer->forward(q, k, k, mask);
  EXPECT_TRUE(result.choice[0].ge(1).logical_and(result.choice[0].le(2)).all().item<bool>());
  EXPECT_TRUE(at::isfinite(result.context).all().item<bool>());
  EXPECT_EQ(result.context[1].abs().sum().item<double>(), 0);
  EXPECT_THAT(error_of([&] { layer->forward(q, k, k, mask.narrow(1, 0, 3)); }), HasSubstr("mask"));
  EXPECT_THAT(error_of([&] { layer->forward(q, k.narrow(0, 0, 1), k); }), HasSubstr("[1,4,3]"));
  EXPECT_THAT(error_of([&] { reinforce_loss(result, at::zeros({3}, kWide)); }), HasSubstr("[3]"));
  EXPECT_THAT(error_of([] { HardAttention({.score = {.query_width = 3, .key_width = 3}, .temperature = 0}); }),
              StartsWith("2: "));
}

TEST(MonotonicStep, NeverGoesBackAndEqualsTheMask) {
  at::manual_seed(13);
  auto last = at::zeros({6}, at::kLong);
  for (int step = 0; step < 20; ++step) {
    const auto scores = at::randn({6, 12}, kWide);
    const auto next = monotonic_step(scores, last);
    for (int64_t b = 0; b < 6; ++b) {
      int64_t best = last[b].item<int64_t>();
      for (int64_t j = best; j < 12; ++j) {
        if (scores[b][j].item<double>() > scores[b][best].item<double>()) best = j;
      }
      EXPECT_EQ(next[b].item<int64_t>(), best);
      EXPECT_GE(best, last[b].item<int64_t>());
    }
    last = next;
  }
  const auto allowed = forward_mask(at::tensor({0, 3}, at::kLong), 5);
  EXPECT_TRUE(at::equal(allowed, at::tensor({1, 1, 1, 1, 1, 0, 0, 0, 1, 1}).to(at::kBool).view({2, 5})));
  EXPECT_THAT(error_of([] { monotonic_step(at::zeros({2, 5}), at::zeros({3}, at::kLong)); }), HasSubstr("[3]"));
  // Nothing ahead but padding: it stays, and never beyond the scores.
  const auto padded = at::tensor({3.0, 1.0, -INFINITY, -INFINITY}).view({1, 4});
  EXPECT_EQ(monotonic_step(padded, at::tensor({2}, at::kLong)).item<int64_t>(), 2);
  EXPECT_THAT(error_of([&] { monotonic_step(padded, at::tensor({4}, at::kLong)); }),
              ::testing::AllOf(StartsWith("3: "), HasSubstr("place 4"), HasSubstr("[1,4]")));
}

TEST(CoverageAttention, StepsMatchLoopsAndGradients) {
  at::manual_seed(14);
  CoverageAttention layer({.query_width = 3, .key_width = 4, .hidden = 5});
  layer->to(at::kDouble);
  const auto q = at::randn({2, 3, 3}, kWide), keys = at::randn({2, 6, 4}, kWide), v = at::randn({2, 6, 2}, kWide);
  const auto mask = at::tensor({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}).to(at::kBool).view({2, 6});
  const auto run = [&](const at::Tensor& queries, const at::Tensor& source, const at::Tensor& values) {
    const auto prepared = layer->prepare(source);
    at::Tensor covered;
    std::vector<at::Tensor> contexts, weights;
    for (int64_t t = 0; t < 3; ++t) {
      const auto step = layer->forward(queries.select(1, t), prepared, values, covered, mask);
      covered = step.coverage;
      contexts.push_back(step.context);
      weights.push_back(step.weights);
    }
    return std::pair(at::stack(contexts, 1), at::stack(weights, 1));
  };
  const auto [contexts, weights] = run(q, keys, v);
  for (int64_t b = 0; b < 2; ++b) {
    Vector covered(6, 0);
    for (int64_t t = 0; t < 3; ++t) {
      Vector a(6, 0);
      double sum = 0;
      for (int64_t j = 0; j < (b == 0 ? 6 : 4); ++j) {
        auto inner =
            plus(times(layer->score->query->weight, row(q[b][t])), times(layer->score->key->weight, row(keys[b][j])));
        const auto wc = row(layer->coverage->weight.squeeze(1));
        for (size_t i = 0; i < inner.size(); ++i) inner[i] += wc[i] * covered[j];
        sum += a[j] = std::exp(dot(row(layer->score->v), each(inner, std::tanh)));
      }
      for (int64_t j = 0; j < 6; ++j) {
        a[j] /= sum;
        EXPECT_NEAR(weights[b][t][j].item<double>(), a[j], 1e-12);
        covered[j] += a[j];
      }
      EXPECT_NEAR(contexts[b][t][0].item<double>(), dot(a, row(v[b].select(1, 0))), 1e-12);
    }
  }
  auto leaves = layer->parameters();
  for (const auto& t : {q, keys, v}) leaves.push_back(t.clone().requires_grad_(true));
  const size_t n = leaves.size();
  const auto f = [&] { return run(leaves[n - 3], leaves[n - 2], leaves[n - 1]).first; };
  EXPECT_LE(leaf_gradient_error(f, leaves), 1e-5);
  EXPECT_THAT(error_of([&] { layer->forward(q.select(1, 0), keys, v); }), HasSubstr("[2,6,4]"));
  EXPECT_THAT(error_of([&] {
                layer->forward(q.select(1, 0), layer->prepare(keys), v, at::zeros({2, 5}, kWide));
              }),
              HasSubstr("coverage [2,5]"));
  EXPECT_THAT(error_of([&] {
                layer->forward(q.select(1, 0), layer->prepare(keys), v, {}, at::ones({2, 6}, kWide));
              }),
              HasSubstr("bool mask [2,6]"));
}

TEST(CoverageLosses, MatchLoops) {
  at::manual_seed(15);
  const auto weights = at::softmax(at::randn({2, 4, 5}, kWide), -1);
  double repeats = 0, omissions = 0;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t j = 0; j < 5; ++j) {
      double covered = 0;
      for (int64_t t = 0; t < 4; ++t) {
        const double a = weights[b][t][j].item<double>();
        repeats += std::min(a, covered) / 2;
        covered += a;
      }
      if (b == 0 || j < 3) omissions += (1 - covered) * (1 - covered) / 2;
    }
  }
  const auto mask = at::tensor({1, 1, 1, 1, 1, 1, 1, 1, 0, 0}).to(at::kBool).view({2, 5});
  EXPECT_NEAR(repetition_loss(weights).item<double>(), repeats, 1e-12);
  EXPECT_NEAR(omission_loss(weights, mask).item<double>(), omissions, 1e-12);
  EXPECT_EQ(repetition_loss(weights.narrow(1, 0, 1)).item<double>(), 0);
  EXPECT_LE(gradient_error([](const auto& in) { return repetition_loss(in[0]); }, {weights}), 1e-6);
  EXPECT_LE(gradient_error([&](const auto& in) { return omission_loss(in[0], mask); }, {weights}), 1e-6);
  EXPECT_THAT(error_of([&] { repetition_loss(weights[0]); }), HasSubstr("[4,5]"));
  EXPECT_THAT(error_of([&] { omission_loss(weights, mask.narrow(1, 0, 4)); }), HasSubstr("[2,4]"));
  EXPECT_THAT(error_of([&] { omission_loss(weights, mask.narrow(0, 0, 1)); }), HasSubstr("[1,5]"));
}

// Five positions to be read in five steps by a query that does not know the step: without coverage every step is the
// same, so that what is read is read five times and the rest never.
TEST(CoverageLosses, ACoverageTrainedToyLosesRepeatsAndOmissionsThatThePlainOneHas) {
  const auto trained = [](bool with_coverage) {
    at::manual_seed(16);
    CoverageAttention layer({.query_width = 4, .key_width = 5, .hidden = 16});
    const auto query = at::ones({1, 4}), keys = at::eye(5).unsqueeze(0) * 2;
    const auto weights_of = [&] {
      const auto prepared = layer->prepare(keys);
      at::Tensor covered;
      std::vector<at::Tensor> weights;
      for (int step = 0; step < 5; ++step) {
        const auto s = layer->forward(query, prepared, keys, with_coverage ? covered : at::Tensor());
        covered = s.coverage;
        weights.push_back(s.weights);
      }
      return at::stack(weights, 1);
    };
    // Sharpness is what both are asked for; a plain step can only be sharp by repeating itself.
    for (int i = 0; i < 400; ++i) {
      const auto weights = weights_of();
      const auto sharp = -(weights * (weights + 1e-9).log()).sum(-1).mean();
      auto loss = sharp;
      if (with_coverage) loss = loss + repetition_loss(weights) + omission_loss(weights);
      for (auto& parameter : layer->parameters()) parameter.mutable_grad() = at::Tensor();
      loss.backward();
      const at::NoGradGuard no_grad;
      for (auto& parameter : layer->parameters()) {
        if (parameter.grad().defined()) parameter.sub_(0.3 * parameter.grad());
      }
    }
    return weights_of().detach();
  };
  const auto plain = trained(false), covered = trained(true);
  EXPECT_GT(repetition_loss(plain).item<double>(), 2.5);
  EXPECT_GT(omission_loss(plain).item<double>(), 2.5);
  EXPECT_LT(repetition_loss(covered).item<double>(), 0.3);
  EXPECT_LT(omission_loss(covered).item<double>(), 0.3);
}

}  // namespace
}  // namespace fovea::testing
