#include "fovea/vision/explain/attention_heat.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/explain/gates.h"

namespace fovea {
namespace {

// Self-attention of two images, three heads, on a grid of 4×5.
AttentionMap token_map(const std::string& path, int64_t prefix) {
  const int64_t tokens = prefix + 20;
  return {.path = path,
          .kind = MapKind::tokens,
          .weights = at::rand({2, 3, tokens, tokens}).softmax(-1),
          .grid = {.height = 4, .width = 5, .prefix = prefix}};
}

std::vector<AttentionMap> vit_maps(int64_t prefix) {
  at::manual_seed(3);
  std::vector<AttentionMap> maps;
  for (int layer = 0; layer < 12; ++layer)
    maps.push_back(token_map("blocks." + std::to_string(layer) + ".attn", prefix));
  return maps;
}

TEST(AttentionHeat, IsTheClsRowWithoutPrefixTokens) {
  for (const int64_t prefix : {1, 2, 5}) {
    const auto maps = vit_maps(prefix);
    const HeatMap heat = attention_heat(maps, {.image = 1});
    ASSERT_EQ(heat.values.sizes(), (std::vector<int64_t>{4, 5}));
    for (int64_t y = 0; y < 4; ++y) {
      for (int64_t x = 0; x < 5; ++x) {
        double sum = 0;
        for (int64_t head = 0; head < 3; ++head) {
          sum += maps[11].weights[1][head][0][prefix + y * 5 + x].item<double>();
        }
        ASSERT_NEAR(heat.values[y][x].item<double>(), sum / 3, 1e-7);
      }
    }
    EXPECT_EQ(describe(heat), "attention, blocks.11.attn, mean of 3 heads, CLS row");
  }
}

TEST(AttentionHeat, TakesOneHeadOneLayerAndOneQuery) {
  const auto maps = vit_maps(1);
  const HeatMap heat = attention_heat(maps, {.layer = "3", .head = 2, .query = 7, .image = 0});
  EXPECT_TRUE(heat.values.equal(maps[3].weights[0][2][7].slice(0, 1).view({4, 5})));
  EXPECT_EQ(describe(heat), "attention, blocks.3.attn, head 2, row of token 7");
}

TEST(AttentionHeat, IsTheMeanOfAllQueriesWithoutPrefixTokens) {
  const auto maps = vit_maps(0);
  const HeatMap heat = attention_heat(maps);
  for (int64_t key = 0; key < 20; ++key) {
    double sum = 0;
    for (int64_t head = 0; head < 3; ++head) {
      for (int64_t query = 0; query < 20; ++query) sum += maps[11].weights[0][head][query][key].item<double>();
    }
    ASSERT_NEAR(heat.values[key / 5][key % 5].item<double>(), sum / 60, 1e-7);
  }
  EXPECT_EQ(heat.detail, "mean of 3 heads, mean of queries");
}

TEST(AttentionHeat, FindsARecordedRowByItsQuery) {
  auto maps = vit_maps(1);
  const at::Tensor all = maps[11].weights;
  maps[11].queries = {0, 9};
  maps[11].weights = all.index_select(2, at::tensor({0, 9}, at::kLong));
  const auto row = [&](int64_t query) { return all[0].mean(0)[query].slice(0, 1).view({4, 5}); };
  EXPECT_TRUE(attention_heat(maps).values.allclose(row(0)));
  EXPECT_TRUE(attention_heat(maps, {.query = 9}).values.allclose(row(9)));
  EXPECT_ERROR(attention_heat(maps, {.query = 4}), ErrorKind::usage, "row 4 of blocks.11.attn was not recorded");
}

TEST(AttentionHeat, RefusesTheMeanOfQueriesThatWereNotAllRecorded) {
  auto maps = vit_maps(0);
  maps[11].queries = {0};
  maps[11].weights = maps[11].weights.slice(2, 0, 1);
  EXPECT_ERROR(attention_heat(maps), ErrorKind::usage, "needs all rows, 1 were recorded");
}

TEST(AttentionHeat, OneQueryOfAWindowLightsItsWindowAlone) {
  at::manual_seed(4);
  // 4×6 in windows of 2×3 rolled by one: token (3,5) stands in window 3 at the place (0,1).
  const AttentionMap map{.path = "layers.0.blocks.1.attn",
                         .kind = MapKind::tokens,
                         .weights = at::rand({2 * 4, 2, 6, 6}).softmax(-1),
                         .grid = {.height = 4, .width = 6},
                         .window = 2,
                         .shift = 1,
                         .window_width = 3,
                         .shift_width = 1};
  const HeatMap heat = attention_heat({map}, {.head = 1, .query = 3 * 6 + 5, .image = 1});
  const at::Tensor row = map.weights[4 + 3][1][1];
  at::Tensor expected = at::zeros({4, 6});
  for (int64_t place = 0; place < 6; ++place) {
    const int64_t y = (2 + place / 3 + 1) % 4;
    const int64_t x = (3 + place % 3 + 1) % 6;
    expected[y][x] = row[place];
  }
  EXPECT_TRUE(heat.values.equal(expected)) << heat.values << expected;
}

TEST(AttentionHeat, RefusesWhatWasNotRecorded) {
  const auto maps = vit_maps(1);
  EXPECT_ERROR(attention_heat(maps, {.head = 3}), ErrorKind::usage, "head 3: blocks.11.attn has heads 0…2");
  EXPECT_ERROR(attention_heat(maps, {.head = -1}), ErrorKind::usage, "head -1");
  EXPECT_ERROR(attention_heat(maps, {.query = 21}), ErrorKind::usage, "query 21: blocks.11.attn has tokens 0…20");
  EXPECT_ERROR(attention_heat(maps, {.image = 2}), ErrorKind::usage, "image 2");
  auto wrong = maps;
  wrong[11].grid.width = 6;
  EXPECT_ERROR(attention_heat(wrong), ErrorKind::data, "has 21 keys, its grid has 1 prefix tokens and 4x6 patches");
}

TEST(SelectMap, FindsALayerByIndexAndByPath) {
  const auto maps = vit_maps(1);
  const auto path = [&](const std::string& layer) { return select_map(maps, MapKind::tokens, layer).path; };
  EXPECT_EQ(path(""), "blocks.11.attn");
  EXPECT_EQ(path("0"), "blocks.0.attn");
  EXPECT_EQ(path("-1"), "blocks.11.attn");
  EXPECT_EQ(path("-12"), "blocks.0.attn");
  EXPECT_EQ(path("blocks.1.attn"), "blocks.1.attn");
  EXPECT_EQ(path("blocks.1"), "blocks.1.attn");  // not blocks.10 nor blocks.11
  EXPECT_ERROR(path("12"), ErrorKind::usage, "layer 12: expected -12…11");
  EXPECT_ERROR(path("-13"), ErrorKind::usage, "layer -13");
  EXPECT_ERROR(path("blocks"), ErrorKind::usage, "more than one token attention: blocks.0.attn, blocks.1.attn");
  EXPECT_ERROR(path("blocks.12.attn"), ErrorKind::usage, "blocks.0.attn … blocks.11.attn (12 layers)");
  EXPECT_ERROR(path("1x"), ErrorKind::usage, "layer 1x");
}

std::vector<AttentionMap> cbam_maps() {
  at::manual_seed(5);
  return {{.path = "layer1.0.se.channel", .kind = MapKind::channel, .weights = at::rand({2, 16})},
          {.path = "layer1.0.se.spatial", .kind = MapKind::spatial, .weights = at::rand({2, 1, 6, 8})},
          {.path = "layer2.0.se.channel", .kind = MapKind::channel, .weights = at::rand({2, 32})},
          {.path = "layer2.0.se.spatial", .kind = MapKind::spatial, .weights = at::rand({2, 1, 3, 4})}};
}

TEST(Gates, OfOneLayerAndOneImage) {
  const auto maps = cbam_maps();
  const HeatMap last = spatial_gates(maps);
  EXPECT_EQ(last.layer, "layer2.0.se.spatial");
  EXPECT_TRUE(last.values.equal(maps[3].weights[0][0]));
  EXPECT_TRUE(spatial_gates(maps, {.layer = "layer1.0.se", .image = 1}).values.equal(maps[1].weights[1][0]));
  const ChannelGates gates = channel_gates(maps, {.layer = "0", .image = 1});
  EXPECT_EQ(gates.layer, "layer1.0.se.channel");
  EXPECT_TRUE(gates.values.equal(maps[0].weights[1]));
  EXPECT_ERROR(spatial_gates(maps, {.image = 2}), ErrorKind::usage, "images 0…1");
}

TEST(Gates, SayWhatTheModelHasInstead) {
  EXPECT_ERROR(attention_heat(cbam_maps()), ErrorKind::usage,
               "the model has no token attention; there are channel gates and spatial gates");
  EXPECT_ERROR(channel_gates(vit_maps(1)), ErrorKind::usage, "no channel gates; there are token attention");
  EXPECT_ERROR(spatial_gates({}), ErrorKind::usage, "the model has no spatial gates");
}

}  // namespace
}  // namespace fovea
