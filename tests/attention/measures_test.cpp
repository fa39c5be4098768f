// Regularisers, diagnostics and the modes of dropout, against closed forms.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/diagnostics.h"
#include "fovea/modules/attention/regularisers.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Regularisers, MatchTheirFormulasAndGradients) {
  at::manual_seed(1);
  const auto a = at::softmax(at::randn({2, 3, 4, 5}, kWide), -1),
             target = at::softmax(at::randn({2, 3, 4, 5}, kWide), -1);
  double locality = 0, back = 0, guided = 0, entropy = 0, overlap = 0;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t h = 0; h < 3; ++h) {
      double before = 0;
      for (int64_t i = 0; i < 4; ++i) {
        double mean = 0;
        for (int64_t j = 0; j < 5; ++j) {
          const double w = a[b][h][i][j].item<double>(), t = target[b][h][i][j].item<double>();
          const double away = static_cast<double>(i) / 4 - static_cast<double>(j) / 5;
          locality += w * (1 - std::exp(-away * away / (2 * 0.3 * 0.3))) / 4 / 6;
          mean += w * static_cast<double>(j);
          guided += (w - t) * (w - t) / 6;
          entropy -= w * std::log(w) / 24;
        }
        if (i > 0) back += std::max(0.0, before - mean) / 5 / 6;
        before = mean;
      }
    }
    for (int64_t i = 0; i < 4; ++i) {
      for (int64_t g = 0; g < 3; ++g) {
        for (int64_t h = 0; h < 3; ++h) {
          const double product = dot(row(a[b][g][i]), row(a[b][h][i])) - (g == h ? 1 : 0);
          overlap += product * product / 8;
        }
      }
    }
  }
  EXPECT_NEAR(locality_penalty(a, 0.3).item<double>(), locality, 1e-12);
  EXPECT_NEAR(monotonic_penalty(a).item<double>(), back, 1e-12);
  EXPECT_NEAR(guided_loss(a, target).item<double>(), guided, 1e-12);
  EXPECT_NEAR(entropy_penalty(a).item<double>(), entropy, 1e-12);
  EXPECT_NEAR(head_diversity_penalty(a).item<double>(), overlap, 1e-12);
  EXPECT_LE(gradient_error([](const auto& in) { return locality_penalty(in[0], 0.3); }, {a}), 1e-6);
  EXPECT_LE(gradient_error([](const auto& in) { return monotonic_penalty(in[0]); }, {a}), 1e-6);
  EXPECT_LE(gradient_error([](const auto& in) { return guided_loss(in[0], in[1]); }, {a, target}), 1e-6);
  EXPECT_LE(gradient_error([](const auto& in) { return entropy_penalty(in[0]); }, {a}), 1e-6);
  EXPECT_LE(gradient_error([](const auto& in) { return head_diversity_penalty(in[0]); }, {a}), 1e-6);
}

TEST(Regularisers, AreZeroForWhatTheyAskFor) {
  const auto diagonal = at::eye(4, kWide).expand({2, 1, 4, 4});
  EXPECT_NEAR(locality_penalty(diagonal).item<double>(), 0, 1e-15);
  EXPECT_EQ(monotonic_penalty(diagonal).item<double>(), 0);
  EXPECT_EQ(entropy_penalty(diagonal).item<double>(), 0);
  EXPECT_GT(monotonic_penalty(diagonal.flip(3)).item<double>(), 0.5);
  EXPECT_EQ(
      head_diversity_penalty(at::stack({at::eye(4, kWide), at::eye(4, kWide).roll(1, 0)}).unsqueeze(0)).item<double>(),
      0);
  EXPECT_EQ(head_diversity_penalty(at::eye(4, kWide).expand({1, 2, 4, 4})).item<double>(), 2);
  EXPECT_THAT(error_of([] { entropy_penalty(at::zeros({2, 3})); }), HasSubstr("[2,3]"));
  EXPECT_THAT(error_of([&] { guided_loss(diagonal, at::zeros({1, 1, 4, 4})); }), HasSubstr("[1,1,4,4]"));
  EXPECT_THAT(error_of([&] { locality_penalty(diagonal, 0); }), StartsWith("2: "));
}

TEST(Diagnostics, EntropyIsZeroForOneKeyAndOneForAll) {
  auto weights = at::zeros({1, 1, 4, 5}, kWide);
  weights[0][0][0][2] = 1;
  weights[0][0][1].fill_(0.2);
  weights[0][0][2].narrow(0, 0, 2).fill_(0.5);
  weights[0][0][3][0] = 1;
  auto allowed = at::ones({1, 1, 4, 5}, at::kBool);
  allowed[0][0][2].narrow(0, 2, 3).fill_(false);
  allowed[0][0][3].narrow(0, 1, 4).fill_(false);
  EXPECT_TRUE(at::allclose(normalised_entropy(weights, allowed),
                           at::tensor({0.0, 1.0, 1.0, 0.0}).view({1, 1, 4}).to(at::kDouble)));
  EXPECT_NEAR(normalised_entropy(weights)[0][0][2].item<double>(), std::log(2) / std::log(5), 1e-12);
  EXPECT_THAT(error_of([] { normalised_entropy(at::zeros({4, 5})); }), HasSubstr("[4,5]"));
}

TEST(Diagnostics, HeadsAreNamedByWhereTheyLook) {
  const int64_t N = 12;
  const auto eye = at::eye(N, kWide);
  auto first = at::zeros({N, N}, kWide), previous = eye.roll(-1, 1), next = eye.roll(1, 1);
  first.select(1, 0).fill_(1);
  auto local = at::zeros({N, N}, kWide);
  for (int64_t i = 0; i < N; ++i) {
    for (int64_t j = std::max<int64_t>(0, i - 2); j <= std::min(N - 1, i + 2); ++j) local[i][j] = 1;
  }
  local = local / local.sum(1, true);
  const auto uniform = at::full({N, N}, 1.0 / static_cast<double>(N), kWide);
  // Every query to the far half, so that none of the classes holds.
  auto mixed = at::zeros({N, N}, kWide);
  for (int64_t i = 0; i < N; ++i) mixed[i][(i + N / 2) % N] = 1;
  const auto heads =
      at::stack({eye * 0.9 + uniform * 0.1, previous, next, first, local, uniform, mixed, next}).unsqueeze(0);
  const auto reports = classify_heads(heads);
  const HeadClass kinds[] = {HeadClass::self,  HeadClass::previous, HeadClass::next,  HeadClass::first,
                             HeadClass::local, HeadClass::uniform,  HeadClass::mixed, HeadClass::next};
  for (size_t h = 0; h < 8; ++h) EXPECT_EQ(reports[h].kind, kinds[h]) << h << " " << name(reports[h].kind);
  EXPECT_NEAR(reports[0].share, 0.9 + 0.1 / 12, 1e-9);
  for (size_t h = 0; h < 8; ++h) {
    EXPECT_EQ(reports[h].idle, h == 3 || h == 5) << h;
    EXPECT_EQ(reports[h].twin, h == 7 ? std::optional<int64_t>(2) : std::nullopt) << h;
  }
  EXPECT_STREQ(name(HeadClass::previous), "previous");
  EXPECT_THAT(error_of([] { classify_heads(at::zeros({1, 1, 3, 4})); }), HasSubstr("[1,1,3,4]"));
}

TEST(Diagnostics, RawScoresAreWatched) {
  const auto calm = at::tensor({-15.0, 20.0, 19.5, 19.0}).view({2, 2});
  const auto report = inspect_scores(calm);
  EXPECT_EQ(report.least, -15);
  EXPECT_EQ(report.largest, 20);
  EXPECT_EQ(report.saturated, 0.5);
  EXPECT_FALSE(report.suspicious);
  EXPECT_TRUE(inspect_scores(calm - 0.1).suspicious);
  EXPECT_TRUE(inspect_scores(calm + 0.1).suspicious);
  EXPECT_TRUE(inspect_scores(at::tensor({0.0, 9.0, 9.0, 0.0}).view({2, 2})).suspicious);  // saturated
  const auto broken = at::tensor({0.0, NAN, INFINITY, -INFINITY}).view({2, 2});
  EXPECT_EQ(inspect_scores(broken).nans, 1);
  EXPECT_EQ(inspect_scores(broken).infinities, 1);
  EXPECT_TRUE(inspect_scores(broken).suspicious);
  EXPECT_FALSE(inspect_scores(at::tensor({0.0, -INFINITY, 1.0, 0.5}).view({1, 4})).suspicious);  // a mask
}

// With values that spell the identity, attention gives its probabilities.
at::Tensor probabilities(DropoutMode mode, double dropout, const at::Tensor& mask = {}) {
  at::manual_seed(2);
  const auto q = at::randn({3, 2, 6, 4}, kWide), k = at::randn({3, 2, 9, 4}, kWide);
  at::manual_seed(3);
  return attention(q, k, at::eye(9, kWide).expand({3, 2, 9, 9}),
                   {.mask = mask, .dropout = dropout, .dropout_mode = mode});
}

TEST(DropoutMode, ScaleKeepsTheExpectation) {
  const auto whole = probabilities(DropoutMode::scale, 0);
  const auto thin = probabilities(DropoutMode::scale, 0.25);
  const auto kept = thin.ne(0);
  EXPECT_LE(relative_error(thin, whole * kept / 0.75), 1e-12);
  EXPECT_NEAR(kept.to(at::kDouble).mean().item<double>(), 0.75, 0.09);
}

TEST(DropoutMode, RenormaliseKeepsRowsAtOne) {
  const auto whole = probabilities(DropoutMode::scale, 0);
  const auto thin = probabilities(DropoutMode::renormalise, 0.25);
  const auto kept = whole * thin.ne(0);
  EXPECT_LT(thin.ne(0).to(at::kDouble).mean().item<double>(), 0.9);
  EXPECT_LE(relative_error(thin, kept / kept.sum(-1, true)), 1e-12);
  EXPECT_LE((thin.sum(-1) - 1).abs().max().item<double>(), 1e-12);
}

TEST(DropoutMode, KeysIsAMaskOfWholeKeys) {
  const auto thin = probabilities(DropoutMode::keys, 0.5);
  const auto seen = thin.ne(0).any(2, true).any(1, true);  // [B,1,1,M]
  EXPECT_GT(seen.logical_not().sum().item<int64_t>(), 0);
  EXPECT_FALSE(at::equal(seen[0], seen[1]) && at::equal(seen[1], seen[2]));  // drawn for each image
  EXPECT_LE(relative_error(thin, probabilities(DropoutMode::scale, 0, seen)), 1e-12);
}

TEST(DropoutMode, GradientsOfEveryModeEqualCentralDifferences) {
  at::manual_seed(4);
  const auto q = at::randn({1, 2, 3, 4}, kWide), k = at::randn({1, 2, 5, 4}, kWide), v = at::randn({1, 2, 5, 2}, kWide);
  for (const auto mode : {DropoutMode::scale, DropoutMode::renormalise, DropoutMode::keys}) {
    const auto f = [&](const auto& in) {
      at::manual_seed(5);  // the same draws
      return attention(in[0], in[1], in[2], {.dropout = 0.4, .dropout_mode = mode});
    };
    EXPECT_GT(relative_error(f(std::vector{q, k, v}), attention(q, k, v)), 1e-3);
    EXPECT_LE(gradient_error(f, {q, k, v}), 1e-5) << static_cast<int>(mode);
  }
}

TEST(DropoutMode, KeysDrawsOnceAlsoBesideNaN) {
  const auto q = at::randn({1, 1, 200, 4}, kWide);
  auto k = at::randn({1, 1, 9, 4}, kWide), v = at::eye(9, kWide).view({1, 1, 9, 9}).clone();
  k[0][0][8].fill_(NAN);
  const auto mask = at::arange(9).ne(8).view({1, 1, 1, 9});
  const auto thin = attention(q, k, v, {.mask = mask, .dropout = 0.5, .dropout_mode = DropoutMode::keys});
  const auto seen = thin.ne(0);
  EXPECT_TRUE(at::equal(seen, seen.narrow(2, 0, 1).expand_as(seen)));
}

}  // namespace
}  // namespace fovea::testing
