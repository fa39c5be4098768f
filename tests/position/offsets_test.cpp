// What relative places promise: scores that depend on the offset alone, one number beyond the reach, and gradients to
// every number that a pair reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/position/alibi.h"
#include "fovea/modules/position/relative.h"
#include "fovea/modules/position/rotary.h"
#include "fovea/modules/position/transformer_xl.h"
#include "fovea/modules/position/window_bias.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

constexpr int64_t kH = 2, kd = 8;

// One content at every place.
at::Tensor everywhere(const at::Tensor& content, int64_t count) {
  return content.view({1, kH, 1, kd}).expand({1, kH, count, kd});
}

// [H,N,M] of what stands in the softmax.
at::Tensor scores_of(const PositionEncoding& encoding, const at::Tensor& q, const at::Tensor& k,
                     const PositionArgs& places) {
  const auto turned = encoding.rotate(q, k, places);
  auto scores = at::matmul(turned.q, turned.k.transpose(2, 3)) / std::sqrt(double{kd});
  if (const auto bias = encoding.bias(q, k, places); bias.defined()) scores = scores + bias;
  return scores[0];
}

template <typename Layer>
Layer numbered(Layer layer) {
  layer->to(at::kDouble);
  for (auto& parameter : layer->parameters()) parameter.detach().normal_();
  return layer;
}

TEST(RelativePlaces, ScoresDependOnTheOffsetAlone) {
  at::manual_seed(41);
  const auto clipped = numbered(ClippedRelativeBias({.heads = kH, .reach = 3}));
  const auto buckets = numbered(BucketedRelativeBias({.heads = kH, .buckets = 8, .max_distance = 20}));
  const auto shaw = numbered(ShawRelative({.head_width = kd, .reach = 3}));
  const auto xl = numbered(TransformerXlPosition({.heads = kH, .head_width = kd}));
  const AlibiPosition alibi(kH);
  const RotaryPosition halves, adjacent({.pairs = RotaryPairs::adjacent});
  const auto q = everywhere(at::randn({kH, kd}, at::kDouble), 9), k = everywhere(at::randn({kH, kd}, at::kDouble), 9);
  for (const PositionEncoding* encoding : std::initializer_list<const PositionEncoding*>{
           clipped.get(), buckets.get(), shaw.get(), xl.get(), &alibi, &halves, &adjacent}) {
    const auto scores = scores_of(*encoding, q, k, {});
    const auto inner = scores.slice(1, 0, 8).slice(2, 0, 8), shifted = scores.slice(1, 1, 9).slice(2, 1, 9);
    EXPECT_LE(relative_error(shifted, inner), 1e-6);
    EXPECT_GT((scores.select(2, 0) - scores.select(2, 5)).abs().max().item<double>(), 1e-3);  // and not constant
    // Queries that go on after 20 keys stand where the first do, as seen from keys that go on as long.
    const auto later = scores_of(*encoding, q, everywhere(k[0].select(1, 0), 29), {.first = 20});
    EXPECT_LE(relative_error(later.narrow(2, 20, 9), scores), 1e-6);
  }
}

TEST(RelativePlaces, BeyondTheReachAllIsOne) {
  at::manual_seed(42);
  const auto clipped = numbered(ClippedRelativeBias({.heads = kH, .reach = 3}));
  const auto shaw = numbered(ShawRelative({.head_width = kd, .reach = 3}));
  const auto buckets = numbered(BucketedRelativeBias({.heads = kH, .buckets = 8, .max_distance = 10}));
  const auto q = everywhere(at::randn({kH, kd}, at::kDouble), 1), k = everywhere(at::zeros({kH, kd}, at::kDouble), 60);
  const auto from = [&](const PositionEncoding& encoding) {
    return scores_of(encoding, q, k, {.first = 30}).select(1, 0);
  };
  for (const auto& [encoding, reach] : std::initializer_list<std::pair<const PositionEncoding*, int64_t>>{
           {clipped.get(), 3}, {shaw.get(), 3}, {buckets.get(), 10}}) {
    const auto row = from(*encoding);  // [H,60], offsets −30…29
    const auto before = row.slice(1, 0, 30 - reach + 1), after = row.slice(1, 30 + reach, 60);
    EXPECT_EQ((before - before.narrow(1, 0, 1)).abs().max().item<double>(), 0);
    EXPECT_EQ((after - after.narrow(1, 0, 1)).abs().max().item<double>(), 0);
    EXPECT_GT((row.select(1, 29) - row.select(1, 0)).abs().max().item<double>(), 1e-3);
    EXPECT_GT((row.select(1, 31) - row.select(1, 29)).abs().max().item<double>(), 1e-3);  // the two sides differ
  }
  const auto alibi = from(AlibiPosition(kH));  // no reach: it falls on and on
  EXPECT_TRUE((alibi.narrow(1, 30, 29) - alibi.narrow(1, 31, 29)).gt(0).all().item<bool>());
}

// On a grid the offset has a row and a column: moving both tokens by one of either changes nothing.
TEST(RelativePlaces, OnAGridBothCoordinatesShift) {
  at::manual_seed(43);
  constexpr int64_t h = 4, w = 5;
  const auto table = numbered(GridRelativeBias({.heads = kH, .window = {h, w}}));
  const auto network = numbered(LogRelativeBias({.heads = kH, .window = {h, w}, .hidden = 16}));
  const RotaryPosition halves({.dimensions = 2}), adjacent({.pairs = RotaryPairs::adjacent, .dimensions = 2});
  const auto q = everywhere(at::randn({kH, kd}, at::kDouble), h * w),
             k = everywhere(at::randn({kH, kd}, at::kDouble), h * w);
  for (const PositionEncoding* encoding :
       std::initializer_list<const PositionEncoding*>{table.get(), network.get(), &halves, &adjacent}) {
    const auto scores = scores_of(*encoding, q, k, {.height = h, .width = w}).view({kH, h, w, h, w});
    const auto moved = [&](int64_t query_side) {  // 1: by a row, 2: by a column
      const int64_t n = scores.size(query_side) - 1;
      return relative_error(scores.narrow(query_side, 1, n).narrow(query_side + 2, 1, n),
                            scores.narrow(query_side, 0, n).narrow(query_side + 2, 0, n));
    };
    EXPECT_LE(moved(1), 1e-6);
    EXPECT_LE(moved(2), 1e-6);
    // A row is not a column, and up is not down.
    const auto from = scores.select(1, 1).select(1, 2);  // of the token at row 1, column 2
    EXPECT_GT((from.select(1, 2).select(1, 2) - from.select(1, 1).select(1, 3)).abs().max().item<double>(), 1e-3);
    EXPECT_GT((from.select(1, 2).select(1, 2) - from.select(1, 0).select(1, 2)).abs().max().item<double>(), 1e-3);
  }
}

TEST(RelativePlaces, GradientsReachEveryNumberThatIsRead) {
  at::manual_seed(44);
  const auto buckets = numbered(BucketedRelativeBias({.heads = kH, .buckets = 8, .max_distance = 20}));
  const auto table = numbered(GridRelativeBias({.heads = kH, .window = {2, 3}}));
  const auto q = at::randn({1, kH, 6, kd}, at::kDouble);
  EXPECT_LE(leaf_gradient_error([&] { return buckets->bias(q, q, {}); }, buckets->parameters()), 1e-8);
  EXPECT_LE(leaf_gradient_error([&] { return table->bias(q, q, {}); }, table->parameters()), 1e-8);
  EXPECT_EQ(table->relative_position_bias_table.grad().eq(0).sum().item<int64_t>(), 0);
}

TEST(RelativePlaces, OneTableServesAllHeadsAndLayers) {
  at::manual_seed(45);
  const auto shared = numbered(ClippedRelativeBias({.heads = 1, .reach = 2}));
  const auto q = at::randn({1, kH, 6, kd}, at::kDouble), k = at::randn({1, kH, 6, kd}, at::kDouble);
  auto bias = at::zeros({6, 6}, at::kDouble);
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t j = 0; j < 6; ++j) bias[i][j] = shared->table.detach()[std::clamp<int64_t>(j - i, -2, 2) + 2][0];
  }
  EXPECT_LE(relative_error(attention(q, k, k, {.position = shared.get()}), attention(q, k, k, {.bias = bias})), 1e-12);
  const auto two_layers = [&] {
    return attention(attention(q, k, k, {.position = shared.get()}), k, k, {.position = shared.get()});
  };
  EXPECT_LE(leaf_gradient_error(two_layers, shared->parameters()), 1e-6);
}

}  // namespace
}  // namespace fovea::testing
