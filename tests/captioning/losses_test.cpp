// The terms of a captioner's loss against plain loops.
#include "fovea/captioning/training/caption_losses.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"

namespace fovea {
namespace {

double at3(const at::Tensor& t, int64_t i, int64_t j, int64_t k) {
  return t[i][j][k].item<double>();
}

TEST(CaptionLosses, PlaceAttentionJoinsLayersHeadsAndSteps) {
  const auto one = at::rand({2, 3, 5, 4}), other = at::rand({2, 3, 5, 4});
  const auto joined = place_attention({{.weights = one}, {.weights = other}}, 5);
  ASSERT_EQ(joined.sizes(), (std::vector<int64_t>{2, 5, 4}));
  double expected = 0;
  for (int64_t h = 0; h < 3; ++h) expected += (at3(one[1], h, 2, 3) + at3(other[1], h, 2, 3)) / 6;
  EXPECT_NEAR(at3(joined, 1, 2, 3), expected, 1e-6);

  const auto step0 = at::rand({2, 1, 1, 4}), step1 = at::rand({2, 1, 1, 4});
  const auto steps = place_attention({{.weights = step0}, {.weights = step1}}, 2);
  EXPECT_EQ(at3(steps, 1, 0, 2), step0[1][0][0][2].item<double>());
  EXPECT_EQ(at3(steps, 1, 1, 2), step1[1][0][0][2].item<double>());
  EXPECT_ERROR(place_attention({}, 2), ErrorKind::data, "was recorded");
  EXPECT_ERROR(place_attention({{.weights = step0}}, 2), ErrorKind::data, "1 maps of one word, of 2");
  EXPECT_ERROR(place_attention({{.weights = one}}, 4), ErrorKind::data, "maps of 4 words or of one, got [2,3,5,4]");
}

TEST(CaptionLosses, DoublyStochasticEqualsItsFormula) {
  const auto attention = at::softmax(at::randn({2, 3, 4}, at::kDouble), 2);
  const auto targets = at::tensor({5, 6, 7, 5, -100, -100}, at::kLong).view({2, 3});
  double sum = 0;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t m = 0; m < 4; ++m) {
      double looked = 0;
      for (int64_t t = 0; t < (b == 0 ? 3 : 1); ++t) looked += at3(attention, b, t, m);
      sum += (1 - looked) * (1 - looked) / 8;
    }
  }
  EXPECT_NEAR(doubly_stochastic_penalty(attention, targets).item<double>(), sum, 1e-12);
  EXPECT_LT(
      testing::gradient_error(
          [&](const std::vector<at::Tensor>& x) { return doubly_stochastic_penalty(x[0], targets); }, {attention}),
      1e-6);
}

TEST(CaptionLosses, WordsOfPlacesEqualTheirFormula) {
  const auto logits = at::randn({3, 5}, at::kDouble);
  const auto phrases = at::tensor({1, 4, 2, 3, -100, -100}, at::kLong).view({2, 3});
  const auto which = at::tensor({1, 0, 0}, at::kLong);
  double sum = 0;
  for (int64_t i = 0; i < 3; ++i) {
    double normaliser = 0;
    for (int64_t v = 0; v < 5; ++v) normaliser += std::exp(logits[i][v].item<double>());
    const auto words = i == 0 ? std::vector<int64_t>{3} : std::vector<int64_t>{1, 4, 2};
    for (const int64_t word : words) {
      sum -= (logits[i][word].item<double>() - std::log(normaliser)) / (3 * static_cast<double>(words.size()));
    }
  }
  EXPECT_NEAR(place_word_loss(logits, phrases, which).item<double>(), sum, 1e-12);
  EXPECT_LT(testing::gradient_error(
                [&](const std::vector<at::Tensor>& x) { return place_word_loss(x[0], phrases, which); }, {logits}),
            1e-6);
}

TEST(CaptionLosses, SelfCriticalEqualsItsFormula) {
  const auto logits = at::randn({2, 3, 5}, at::kDouble);
  const auto targets = at::tensor({1, 4, 2, 3, 2, -100}, at::kLong).view({2, 3});
  const auto rewards = at::tensor({2.0, 0.5}, at::kDouble), baseline = at::tensor({1.5, 3.0}, at::kDouble);
  double sum = 0;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t t = 0; t < (b == 0 ? 3 : 2); ++t) {
      double total = 0;
      for (int64_t v = 0; v < 5; ++v) total += std::exp(at3(logits, b, t, v));
      const double log_p = at3(logits, b, t, targets[b][t].item<int64_t>()) - std::log(total);
      sum -= (rewards[b].item<double>() - baseline[b].item<double>()) * log_p / 5;
    }
  }
  EXPECT_NEAR(self_critical_loss(logits, targets, rewards, baseline).item<double>(), sum, 1e-12);
}

TEST(CaptionLosses, OwnWordsReplaceAsOftenAsAsked) {
  at::manual_seed(4);
  const auto tokens = at::cat({at::ones({200, 1}, at::kLong), at::full({200, 10}, 2, at::kLong)}, 1);
  auto targets = at::full({200, 11}, 2, at::kLong);
  targets.narrow(1, 8, 3).fill_(-100);
  auto logits = at::zeros({200, 11, 6});
  logits.select(2, 5).fill_(50);  // it would say 5
  const auto mixed = with_own_words(tokens, targets, logits, 0.3);
  EXPECT_TRUE((mixed.select(1, 0) == 1).all().item<bool>());
  EXPECT_TRUE((mixed.narrow(1, 8, 3) == 2).all().item<bool>());
  const auto share = (mixed.narrow(1, 1, 7) == 5).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(share, 0.3, 0.04);
  EXPECT_TRUE(with_own_words(tokens, targets, logits, 0).equal(tokens));
  // The word that follows token t stands behind it.
  auto said = at::zeros({1, 3, 6});
  said[0][0][3] = said[0][1][4] = 90;
  const auto row =
      with_own_words(at::tensor({1, 2, 2}, at::kLong).view({1, 3}), at::full({1, 3}, 2, at::kLong), said, 1);
  EXPECT_TRUE(row.equal(at::tensor({1, 3, 4}, at::kLong).view({1, 3})));
}

}  // namespace
}  // namespace fovea
