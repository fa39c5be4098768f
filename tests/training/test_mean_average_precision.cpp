// Mean average precision against its definition: for each example the precision among all that score as high.
#include "fovea/vision/training/mean_average_precision.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "fovea/tests/support/expect_error.h"

namespace fovea {
namespace {

using Rows = std::vector<std::vector<float>>;
using Marks = std::vector<std::vector<int>>;

double by_definition(const Rows& scores, const Marks& present) {
  double sum = 0;
  int classes = 0;
  for (size_t c = 0; c < scores[0].size(); ++c) {
    double precisions = 0;
    int examples = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      if (present[i][c] == 0) continue;
      double as_high = 0, right = 0;
      for (size_t j = 0; j < scores.size(); ++j) {
        if (scores[j][c] < scores[i][c]) continue;
        as_high += 1;
        right += present[j][c];
      }
      precisions += right / as_high;
      ++examples;
    }
    if (examples == 0) continue;
    sum += precisions / examples;
    ++classes;
  }
  return sum / classes;
}

at::Tensor scores_of(const Rows& rows) {
  const auto tensor = at::empty({std::ssize(rows), std::ssize(rows[0])}, at::kFloat);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t c = 0; c < rows[i].size(); ++c) tensor[int64_t(i)][int64_t(c)] = rows[i][c];
  }
  return tensor;
}

at::Tensor marks_of(const Marks& rows) {
  const auto tensor = at::zeros({std::ssize(rows), std::ssize(rows[0])}, at::kBool);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t c = 0; c < rows[i].size(); ++c) tensor[int64_t(i)][int64_t(c)] = rows[i][c] != 0;
  }
  return tensor;
}

TEST(MeanAveragePrecision, EqualsTheDefinition) {
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    const size_t count = 1 + random() % 30, classes = 1 + random() % 6;
    const unsigned levels = round % 2 == 0 ? 4 : 1'000'000;  // few: many scores are equal
    Rows scores(count, std::vector<float>(classes));
    Marks present(count, std::vector<int>(classes));
    for (size_t i = 0; i < count; ++i) {
      for (size_t c = 0; c < classes; ++c) {
        scores[i][c] = float(random() % levels) - 2;
        present[i][c] = random() % 4 == 0 ? 1 : 0;
      }
    }
    present[0][0] = 1;
    EXPECT_NEAR(mean_average_precision(scores_of(scores), marks_of(present)), by_definition(scores, present), 1e-12);
  }
}

TEST(MeanAveragePrecision, KnownValues) {
  const auto present = marks_of({{1}, {0}, {1}, {0}});
  EXPECT_DOUBLE_EQ(mean_average_precision(scores_of({{4}, {1}, {3}, {2}}), present), 1);
  EXPECT_DOUBLE_EQ(mean_average_precision(scores_of({{4}, {3}, {2}, {1}}), present), (1 + 2. / 3) / 2);
  EXPECT_DOUBLE_EQ(mean_average_precision(scores_of({{0}, {0}, {0}, {0}}), present), 0.5);  // all equal: their share
  // A class that nothing shows counts for nothing.
  EXPECT_DOUBLE_EQ(mean_average_precision(scores_of({{4, 1}, {1, 2}}), marks_of({{1, 0}, {0, 0}})), 1);
}

TEST(MeanAveragePrecision, Refuses) {
  const auto scores = at::rand({4, 3}), present = at::ones({4, 3}, at::kBool);
  EXPECT_ERROR(mean_average_precision(scores, at::ones({4, 2}, at::kBool)), ErrorKind::data, "scores [N,C]");
  EXPECT_ERROR(mean_average_precision(scores, at::ones({4, 3})), ErrorKind::data, "scores [N,C]");
  EXPECT_ERROR(mean_average_precision(scores, at::zeros({4, 3}, at::kBool)), ErrorKind::data,
               "no class has an example");
  EXPECT_ERROR(mean_average_precision(at::full({4, 3}, NAN), present), ErrorKind::numeric, "NaN");
}

}  // namespace
}  // namespace fovea
