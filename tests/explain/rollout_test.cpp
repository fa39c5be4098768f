#include "fovea/vision/explain/rollout.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "fovea/tests/support/expect_error.h"

namespace fovea {
namespace {

using Matrix = std::vector<std::vector<double>>;

std::vector<AttentionMap> random_maps(int64_t layers, int64_t prefix) {
  at::manual_seed(6);
  std::vector<AttentionMap> maps;
  const int64_t tokens = prefix + 3 * 4;
  for (int64_t layer = 0; layer < layers; ++layer) {
    maps.push_back({.path = "blocks." + std::to_string(layer) + ".attn",
                    .kind = MapKind::tokens,
                    .weights = (4 * at::rand({2, 3, tokens, tokens})).softmax(-1),
                    .grid = {.height = 3, .width = 4, .prefix = prefix}});
  }
  return maps;
}

// The definition in fp64, every matrix in full, first layer first.
Matrix naive_rollout(const std::vector<AttentionMap>& maps, const RolloutOptions& options) {
  Matrix result;
  for (const AttentionMap& map : maps) {
    const int64_t heads = map.weights.size(1), n = map.weights.size(2);
    const auto weights = map.weights.accessor<float, 4>();
    Matrix a(n, std::vector<double>(n));
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        std::vector<double> of_heads;
        for (int64_t h = 0; h < heads; ++h) of_heads.push_back(weights[options.image][h][i][j]);
        double fused = 0;
        for (const double value : of_heads) fused += value / static_cast<double>(heads);
        if (options.fusion == HeadFusion::max) fused = *std::max_element(of_heads.begin(), of_heads.end());
        if (options.fusion == HeadFusion::min) fused = *std::min_element(of_heads.begin(), of_heads.end());
        a[i][j] = options.head ? of_heads[*options.head] : fused;
      }
    }
    std::vector<double> all;
    for (const auto& row : a) all.insert(all.end(), row.begin(), row.end());
    std::sort(all.begin(), all.end());
    const auto count = static_cast<size_t>(options.discard * static_cast<double>(all.size()));
    for (auto& row : a) {
      for (double& value : row) value = count > 0 && value <= all[count - 1] ? 0 : value;
    }
    for (int64_t i = 0; i < n; ++i) {
      a[i][i] += 1;
      double sum = 0;
      for (const double value : a[i]) sum += value;
      for (double& value : a[i]) value /= sum;
    }
    if (result.empty()) {
      result = a;
      continue;
    }
    Matrix product(n, std::vector<double>(n));
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t k = 0; k < n; ++k) product[i][j] += a[i][k] * result[k][j];
      }
    }
    result = product;
  }
  return result;
}

void expect_rollout(const std::vector<AttentionMap>& maps, const RolloutOptions& options) {
  const HeatMap heat = rollout(maps, options);
  const Matrix expected = naive_rollout(maps, options);
  const int64_t prefix = maps[0].grid.prefix, n = static_cast<int64_t>(expected.size());
  ASSERT_EQ(heat.values.sizes(), (std::vector<int64_t>{3, 4}));
  for (int64_t j = prefix; j < n; ++j) {
    double value = expected[options.query.value_or(0)][j];
    if (prefix == 0 && !options.query) {
      value = 0;
      for (const auto& row : expected) value += row[j] / static_cast<double>(n);
    }
    ASSERT_NEAR(heat.values.flatten()[j - prefix].item<double>(), value, 1e-6);
  }
}

TEST(Rollout, EqualsTheFullProductInDoublePrecision) {
  for (const int64_t prefix : {0, 1, 2}) {
    for (const int64_t layers : {1, 2, 12}) {
      const auto maps = random_maps(layers, prefix);
      expect_rollout(maps, {});
      expect_rollout(maps, {.image = 1});
      expect_rollout(maps, {.fusion = HeadFusion::max});
      expect_rollout(maps, {.fusion = HeadFusion::min});
      expect_rollout(maps, {.head = 2});
      expect_rollout(maps, {.discard = 0.6});
      expect_rollout(maps, {.query = 5});
    }
  }
}

TEST(Rollout, FollowsAPathThroughTheLayers) {
  // CLS looks at token 3 in the last layer, token 3 at token 8 in the first: the way leads to 8, CLS looked at 3 alone.
  auto maps = random_maps(2, 1);
  for (auto& map : maps) map.weights = at::eye(13).expand({1, 1, 13, 13}).clone();
  maps[1].weights[0][0][0].zero_()[3] = 1;
  maps[0].weights[0][0][3].zero_()[8] = 1;
  const at::Tensor heat = rollout(maps).values.flatten();  // each layer leaves half of a row where it was
  EXPECT_FLOAT_EQ(heat[3 - 1].item<float>(), 0.25);
  EXPECT_FLOAT_EQ(heat[8 - 1].item<float>(), 0.25);
  EXPECT_FLOAT_EQ(heat.sum().item<float>(), 0.5);
}

TEST(Rollout, SaysWhatItJoined) {
  EXPECT_EQ(describe(rollout(random_maps(12, 1))), "rollout, 12 layers, mean of 3 heads, CLS row");
  EXPECT_EQ(describe(rollout(random_maps(2, 1), {.head = 1, .query = 4})), "rollout, 2 layers, head 1, row of token 4");
}

TEST(Rollout, RefusesWhatItIsNotDefinedFor) {
  auto rows = random_maps(2, 1);
  rows[0].queries = {0};
  EXPECT_ERROR(rollout(rows), ErrorKind::usage, "blocks.0.attn needs all rows, 1 were recorded");
  auto grids = random_maps(2, 1);
  grids[0].grid = {.height = 4, .width = 3, .prefix = 1};
  EXPECT_ERROR(rollout(grids), ErrorKind::data,
               "blocks.0.attn has 4x3 patches and 1 prefix tokens, blocks.1.attn behind it 3x4 and 1");
  auto cross = random_maps(2, 1);
  cross[0].weights = at::zeros({1, 3, 5, 13});
  EXPECT_ERROR(rollout(cross), ErrorKind::data, "weights of 1x3x5x13");
  const auto maps = random_maps(2, 1);
  EXPECT_ERROR(rollout(maps, {.head = 3}), ErrorKind::usage, "head 3");
  EXPECT_ERROR(rollout(maps, {.discard = 1}), ErrorKind::usage, "discard 1");
  EXPECT_ERROR(rollout(maps, {.image = 2}), ErrorKind::usage, "image 2");
  EXPECT_ERROR(rollout(maps, {.query = 13}), ErrorKind::usage, "query 13");
  EXPECT_ERROR(rollout({}), ErrorKind::usage, "no token attention");
}

}  // namespace
}  // namespace fovea
