#include "fovea/vision/explain/relevance.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/explain/attention_heat.h"
#include "fovea/vision/explain/rollout.h"

namespace fovea {
namespace {

// Two stages of windows: 8×8 tokens in windows of 4×4, merged to 4×4 tokens in one window of their own, two images.
std::vector<AttentionMap> window_maps() {
  at::manual_seed(4);
  const auto map = [](const char* path, int64_t side, int64_t shift) {
    const int64_t windows = 2 * (side / 4) * (side / 4);
    return AttentionMap{.path = path,
                        .weights = (3 * at::rand({windows, 2, 16, 16})).softmax(-1),
                        .gradient = at::randn({windows, 2, 16, 16}),
                        .grid = {.height = side, .width = side},
                        .window = 4,
                        .shift = shift,
                        .window_width = 4,
                        .shift_width = shift};
  };
  return {map("layers.0.blocks.0.attn", 8, 0), map("layers.0.blocks.1.attn", 8, 2),
          map("layers.1.blocks.0.attn", 4, 0)};
}

TEST(Relevance, OfTheOnlyWindowWithAGradientLiesInThatWindow) {
  for (const int64_t window : {0, 1, 2, 3}) {
    auto maps = window_maps();
    maps.erase(maps.begin() + 1);
    for (auto& map : maps) map.gradient.zero_();
    maps[0].gradient[4 + window].fill_(1);  // of image 1
    const at::Tensor heat = relevance(maps, {.image = 1}).values;
    const int64_t top = window / 2 * 4, left = window % 2 * 4;
    const at::Tensor inside = heat.slice(0, top, top + 4).slice(1, left, left + 4);
    EXPECT_GT(inside.min().item<double>(), 0);
    EXPECT_NEAR(inside.sum().item<double>(), heat.sum().item<double>(), 1e-6);
    EXPECT_EQ(relevance(maps).values.abs().max().item<double>(), 0) << "image 0 has no gradient";
  }
}

// A network without CLS may read a class from one place, or from some more than from others.
TEST(Relevance, StartsFromTheTokensThatAnswer) {
  const auto maps = window_maps();
  const auto one = [](int64_t token) { return at::one_hot(at::tensor(token, at::kLong), 16).to(at::kDouble); };
  const auto from_place = relevance(maps, {.answer = one(5), .image = 1});
  EXPECT_TRUE(at::equal(from_place.values, relevance(maps, {.query = 5, .image = 1}).values));
  EXPECT_EQ(from_place.detail, "rows that answer");
  const auto mixed = relevance(maps, {.answer = 0.25 * one(5) + 0.75 * one(14), .image = 1}).values,
             parts = 0.25 * from_place.values + 0.75 * relevance(maps, {.query = 14, .image = 1}).values;
  EXPECT_TRUE(at::allclose(mixed, parts, 1e-6, 1e-9));
  EXPECT_FALSE(at::allclose(mixed, relevance(maps, {.image = 1}).values, 1e-2, 1e-4));
  EXPECT_TRUE(at::equal(rollout(maps, {.answer = one(5), .gradients = true}).values,
                        rollout(maps, {.query = 5, .gradients = true}).values));
  EXPECT_ERROR(relevance(maps, {.answer = at::ones({9}) / 9}), ErrorKind::data,
               "relevance: 9 tokens answer, the last attention has 4x4");
}

TEST(Relevance, OfNoGradientIsNothing) {
  auto maps = window_maps();
  for (auto& map : maps) map.gradient.zero_();
  EXPECT_EQ(relevance(maps, {.image = 1}).values.abs().max().item<double>(), 0);
}

TEST(Rollout, ThroughWindowsAndMergedPatchesSharesOutAWhole) {
  const auto maps = window_maps();
  for (const auto query : {std::optional<int64_t>(), std::optional<int64_t>(0), std::optional<int64_t>(15)}) {
    const HeatMap heat = rollout(maps, {.query = query, .image = 1});
    EXPECT_EQ(heat.values.sizes(), (std::vector<int64_t>{8, 8}));
    EXPECT_NEAR(heat.values.sum().item<double>(), 1, 1e-6);
    EXPECT_GE(heat.values.min().item<double>(), 0);
  }
}

TEST(Rollout, MovesWithWindowsThatChangePlaces) {
  // Tokens of whole windows change places in every layer: the map changes places likewise.
  auto maps = window_maps();
  maps.erase(maps.begin() + 1);
  maps.pop_back();
  const at::Tensor before = rollout(maps).values;
  const at::Tensor order = at::tensor({1, 0, 3, 2, 4, 5, 6, 7}, at::kLong);  // the two columns of image 0's windows
  maps[0].weights = maps[0].weights.index_select(0, order);
  EXPECT_TRUE(at::equal(rollout(maps).values, at::roll(before, 4, 1)));
}

TEST(AttentionHeat, WeighedByItsGradient) {
  const auto maps = window_maps();
  const at::Tensor product = (maps[2].weights * maps[2].gradient).clamp_min(0)[1];  // image 1, one window
  const HeatMap heat = attention_heat(maps, {.image = 1, .gradients = true});
  EXPECT_TRUE(at::allclose(heat.values.flatten(), product.mean(0).mean(0), 1e-6, 1e-7));
  EXPECT_EQ(heat.method, "gradient attention");
}

TEST(Relevance, RefusesWhatItIsNotDefinedFor) {
  auto maps = window_maps();
  EXPECT_ERROR(relevance(maps, {.image = 2}), ErrorKind::usage, "image 2: the batch of layers.1.blocks.0.attn");
  EXPECT_ERROR(relevance(maps, {.query = 16}), ErrorKind::usage, "query 16");
  EXPECT_ERROR(relevance({}), ErrorKind::usage, "no token attention");
  maps[1].gradient = at::Tensor();
  EXPECT_ERROR(relevance(maps), ErrorKind::usage,
               "layers.0.blocks.1.attn: its attention was recorded without gradients");
  maps = window_maps();
  maps[2].grid = {.height = 3, .width = 4};
  maps[2].weights = maps[2].weights.narrow(0, 0, 2);
  EXPECT_ERROR(rollout(maps), ErrorKind::data,
               "layers.0.blocks.1.attn has 8x8 patches and 0 prefix tokens, "
               "layers.1.blocks.0.attn behind it 3x4 and 0");
}

}  // namespace
}  // namespace fovea
