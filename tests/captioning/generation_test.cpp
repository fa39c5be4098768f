// The parts of generation that have a plain counterpart in LibTorch.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/captioning/generation/scores.h"

namespace fovea {
namespace {

// Rounded to few values, so that most of the best are equal to others.
at::Tensor scores_of_few_values(int64_t rows, int64_t columns, int64_t values) {
  return at::floor(at::rand({rows, columns}) * static_cast<double>(values));
}

TEST(BestOf, RanksEqualScoresAsTopkDoes) {
  at::manual_seed(3);
  for (const int64_t columns : {8, 511, 4096, 4097, 4500, 50'257, 201'028}) {
    for (const int64_t count : {1, 2, 8, 100}) {
      if (count > columns) continue;
      for (const int64_t values : {1, 2, 50, 1000, 1'000'000}) {
        const auto scores = scores_of_few_values(2, columns, values);
        const auto [best, places] = scores.topk(count);
        const Best found = best_of(scores, count);
        EXPECT_TRUE(found.values.equal(best)) << columns << " columns, " << count << " of " << values;
        EXPECT_TRUE(found.places.equal(places)) << columns << " columns, " << count << " of " << values;
      }
    }
  }
}

TEST(BestOf, TakesForbiddenTokensLast) {
  auto scores = at::full({1, 10'000}, -std::numeric_limits<float>::infinity());
  scores[0][9'000] = 1;
  const auto [best, places] = scores.topk(3);
  const Best found = best_of(scores, 3);
  EXPECT_TRUE(found.values.equal(best));
  EXPECT_TRUE(found.places.equal(places));
  EXPECT_EQ(found.places[0][0].item<int64_t>(), 9'000);
}

}  // namespace
}  // namespace fovea
