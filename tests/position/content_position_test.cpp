// Scores of content and places together, by plain loops in fp64.
#include "fovea/modules/position/content_position.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/attention.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int64_t kHeads = 2, kWidth = 3, kFirst = 2;

ContentPosition made(ContentPositionScore score) {
  ContentPosition places({.heads = kHeads, .head_width = kWidth, .places = 9, .width = 4, .score = score});
  places->to(at::kDouble);
  for (auto& parameter : places->parameters()) parameter.detach().normal_();
  return places;
}

// Rows of a head: W_h·p.
Vector projected(const Linear& by, int64_t head, const at::Tensor& place) {
  return times(by->weight.narrow(0, head * kWidth, kWidth), row(place));
}

double score(const ContentPosition& layer, int64_t head, const Vector& q, const Vector& k, int64_t i, int64_t j) {
  const auto left = plus(q, projected(layer->query, head, layer->places[i]));
  const auto right = plus(k, projected(layer->key, head, layer->places[j]));
  if (layer->options.score == ContentPositionScore::product) return dot(left, right) / std::sqrt(double{kWidth});
  return dot(row(layer->v[head]), each(plus(left, right), [](double x) { return std::tanh(x); }));
}

TEST(ContentPosition, ScoresFourThingsTogetherWithGradientsToThePlaces) {
  for (const auto kind : {ContentPositionScore::product, ContentPositionScore::additive}) {
    at::manual_seed(1);
    const auto layer = made(kind);
    const auto q = at::randn({1, kHeads, 4, kWidth}, at::kDouble), k = at::randn({1, kHeads, 6, kWidth}, at::kDouble),
               v = at::randn({1, kHeads, 6, 2}, at::kDouble);
    auto expected = at::zeros({1, kHeads, 4, 2}, at::kDouble);
    for (int64_t h = 0; h < kHeads; ++h) {
      for (int64_t i = 0; i < 4; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < 6; ++j) {
          const double weight = std::exp(score(layer, h, row(q[0][h][i]), row(k[0][h][j]), kFirst + i, j));
          sum += weight;
          expected[0][h][i] += weight * v[0][h][j];
        }
        expected[0][h][i] /= sum;
      }
    }
    const AttentionArgs args{.position = layer.get()};  // the queries are the last four keys: places 2…5
    EXPECT_LE(relative_error(attention(q, k, v, args), expected), 1e-12);
    std::vector<at::Tensor> leaves = layer->parameters();
    for (const auto& t : {q, k, v}) leaves.push_back(t.clone().requires_grad_(true));
    const size_t n = leaves.size();
    EXPECT_LE(leaf_gradient_error([&] { return attention(leaves[n - 3], leaves[n - 2], leaves[n - 1], args); }, leaves),
              1e-5);
    EXPECT_GT(layer->places.grad()[0].abs().max().item<double>(), 0);               // of a key
    EXPECT_EQ(layer->places.grad().narrow(0, 6, 3).abs().max().item<double>(), 0);  // where nobody stands
  }
}

// Equal tokens everywhere: plain attention cannot tell them apart, this can, and moving the places moves the answer.
TEST(ContentPosition, PlacesAloneDecideAmongEqualTokens) {
  at::manual_seed(2);
  const auto layer = made(ContentPositionScore::product);
  const auto same = at::ones({1, kHeads, 6, kWidth}, at::kDouble);
  const auto v = at::arange(6, at::kDouble).view({1, 1, 6, 1}).expand({1, kHeads, 6, 1});
  const auto plain = attention(same, same, v);
  EXPECT_LE((plain - 2.5).abs().max().item<double>(), 1e-12);
  const auto placed = attention(same, same, v, {.position = layer.get()});
  EXPECT_GT((placed - 2.5).abs().max().item<double>(), 0.1);
  const auto shifted = attention(same, same, v, {.position = layer.get(), .places = {.first = 1}});
  EXPECT_LE(relative_error(shifted.narrow(2, 0, 5), placed.narrow(2, 1, 5)), 1e-12);
}

TEST(ContentPosition, RefusesWhatDoesNotFit) {
  EXPECT_THAT(error_of([] { ContentPosition({.heads = 2, .head_width = 3}); }),
              AllOf(StartsWith("2: "), HasSubstr("places 0")));
  const auto layer = made(ContentPositionScore::product);
  const auto run = [&](int64_t heads, int64_t keys, int64_t width) {
    const auto t = at::zeros({1, heads, keys, width}, at::kDouble);
    return error_of([&] { attention(t, t, t, {.position = layer.get()}); });
  };
  EXPECT_THAT(run(3, 4, kWidth), AllOf(StartsWith("3: "), HasSubstr("[1,3,4,3]")));
  EXPECT_THAT(run(kHeads, 4, 5), HasSubstr("[1,2,4,5]"));
  EXPECT_THAT(run(kHeads, 10, kWidth), AllOf(HasSubstr("0…8"), HasSubstr("10 keys")));
}

}  // namespace
}  // namespace fovea::testing
