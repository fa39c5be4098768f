// Windows that spread over the whole grid, and the layer of MaxViT.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/window/partition.h"
#include "fovea/modules/window/partition_attention.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/tests/window/oracle.h"

namespace fovea::testing {
namespace {

WindowArgs strided_args(std::array<int64_t, 2> window, int64_t heads) {
  WindowArgs args{.heads = heads, .window = window};
  args.bias_table = at::randn({(2 * window[0] - 1) * (2 * window[1] - 1), heads});
  args.bias_index = relative_position_index(window[0], window[1]);
  args.strided = true;
  return args;
}

TEST(StridedWindows, TokensStandAtEvenDistances) {
  const WindowLayout layout{.height = 4, .width = 6, .window_height = 2, .window_width = 3, .strided = true};
  EXPECT_TRUE(at::equal(
      window_tokens(layout),
      at::tensor({0, 2, 4, 12, 14, 16, 1, 3, 5, 13, 15, 17, 6, 8, 10, 18, 20, 22, 7, 9, 11, 19, 21, 23}).view({4, 6})));
  const auto x = at::randn({2, 4, 6, 5});
  EXPECT_TRUE(at::equal(from_windows(to_windows(x, layout), layout), x));
  EXPECT_TRUE(at::equal(spread_strided(gather_strided(x, layout), layout), x));
}

TEST(StridedWindows, EveryBackendEqualsLoops) {
  at::manual_seed(3);
  const std::pair<std::array<int64_t, 2>, std::array<int64_t, 2>> sizes[] = {// window, grid
                                                                             {{2, 3}, {4, 9}},
                                                                             {{7, 7}, {14, 7}},
                                                                             {{1, 4}, {5, 8}},
                                                                             {{3, 3}, {3, 3}},
                                                                             {{4, 2}, {12, 6}}};
  for (const auto& [window, grid] : sizes) {
    auto args = strided_args(window, 2);
    const auto qkv = at::randn({2, grid[0], grid[1], 3 * 2 * 8});
    const auto expected = oracle(qkv, args, window_layout(grid[0], grid[1], args)).output;
    for (const char* backend : {"cpu", "sdpa", "reference"}) {
      args.backend = backend;
      EXPECT_LE(relative_error(window_attention(qkv, args), expected), tolerance(at::kFloat)) << backend;
    }
  }
}

TEST(StridedWindows, RefusesShiftsAndRemainders) {
  auto args = strided_args({2, 2}, 1);
  EXPECT_ERROR(window_attention(at::zeros({1, 5, 4, 6}), args), ErrorKind::data, "do not divide a grid of 5x4");
  args.shift = {1, 0};
  EXPECT_ERROR(window_attention(at::zeros({1, 4, 4, 6}), args), ErrorKind::data, "shifted by 1x0");
}

PartitionAttentionOptions options_of(bool strided, bool other_kind) {
  return {.layer = {.dim = 12, .heads = 3, .window = {2, 3}, .grid = {4, 6}},
          .strided = strided,
          .head_first = other_kind,
          .table_by_head = other_kind};
}

// By the two conventions that the layer bridges, written out.
at::Tensor by_loops(const PartitionAttention& layer, const at::Tensor& x) {
  const auto& o = layer->options;
  auto qkv = at::linear(x, layer->qkv->weight, layer->qkv->bias);
  auto table = layer->rel_pos->relative_position_bias_table;
  if (o.head_first) {  // [head, part, d] → [part, head, d]
    std::vector<at::Tensor> parts;
    for (int64_t part = 0; part < 3; ++part) {
      for (int64_t head = 0; head < 3; ++head)
        parts.push_back(qkv.slice(3, (3 * head + part) * 4, (3 * head + part) * 4 + 4));
    }
    qkv = at::cat(parts, 3);
  }
  if (o.table_by_head) table = table.flip({1, 2}).permute({1, 2, 0}).reshape({-1, 3});  // key − query → query − key
  WindowArgs args{.heads = 3, .window = o.layer.window};
  args.bias_table = table;
  args.strided = o.strided;
  const auto mixed = oracle(qkv, args, window_layout(x.size(1), x.size(2), args)).output;
  return at::linear(mixed, layer->proj->weight.to(at::kDouble), layer->proj->bias.to(at::kDouble));
}

TEST(PartitionAttention, EqualsLoopsPlainAndPrepared) {
  at::manual_seed(4);
  const at::NoGradGuard no_grad;
  for (const bool strided : {false, true}) {
    for (const bool other_kind : {false, true}) {
      PartitionAttention layer(options_of(strided, other_kind));
      layer->rel_pos->relative_position_bias_table.normal_();
      layer->qkv->weight.normal_(0, 0.5);
      layer->eval();
      const auto x = at::randn({2, 4, 6, 12}), other = at::randn({1, 6, 3, 12});
      const auto expected = by_loops(layer, x), expected_other = by_loops(layer, other);
      EXPECT_LE(relative_error(layer->forward(x), expected), 1e-5);
      EXPECT_LE(relative_error(layer->forward(other), expected_other), 1e-5);
      prepare_for_inference(*layer);
      EXPECT_LE(relative_error(layer->forward(x), expected), 1e-5);
      EXPECT_LE(relative_error(layer->forward(other), expected_other), 1e-5);
      layer->rel_pos->relative_position_bias_table.mul_(2);  // the packed bias is of the old table
      EXPECT_LE(relative_error(layer->forward(x), by_loops(layer, x)), 1e-5);
    }
  }
}

TEST(PartitionAttention, GradientsAreThoseOfDifferences) {
  at::manual_seed(5);
  for (const bool other_kind : {false, true}) {
    PartitionAttention layer(options_of(true, other_kind));
    layer->to(at::kDouble);
    const auto x = at::randn({1, 4, 3, 12}, at::kDouble).requires_grad_();
    std::vector<at::Tensor> leaves = {x};
    for (const auto& parameter : layer->parameters()) leaves.push_back(parameter);
    EXPECT_LE(leaf_gradient_error([&] { return layer->forward(x); }, leaves), 1e-5);
  }
}

TEST(PartitionAttention, MapsKnowThatTheyAreStrided) {
  const at::NoGradGuard no_grad;
  torch::nn::Sequential model(PartitionAttention(options_of(true, false)));
  model->eval();
  const auto x = at::randn({2, 4, 6, 12});
  const auto plain = model->forward(x);
  AttentionRecorder recorder(*model);
  const TokenGridScope scope({.height = 4, .width = 6});
  EXPECT_TRUE(at::equal(model->forward(x), plain));
  ASSERT_EQ(recorder.maps().size(), 1);
  const auto& map = recorder.maps()[0];
  EXPECT_TRUE(map.strided);
  EXPECT_EQ(map.window, 2);
  EXPECT_EQ(map.window_width, 3);
  EXPECT_EQ(map.weights.sizes(), at::IntArrayRef({8, 3, 6, 6}));
}

TEST(PartitionAttention, KeysClonesAndRefusals) {
  PartitionAttention layer(options_of(true, true));
  std::vector<std::string> keys;
  for (const auto& item : layer->named_parameters()) keys.push_back(item.key());
  EXPECT_THAT(keys, ::testing::UnorderedElementsAre("qkv.weight", "qkv.bias", "proj.weight", "proj.bias",
                                                    "rel_pos.relative_position_bias_table"));
  EXPECT_EQ(layer->rel_pos->relative_position_bias_table.sizes(), at::IntArrayRef({3, 3, 5}));
  const auto copy = std::dynamic_pointer_cast<PartitionAttentionImpl>(layer->clone());
  const auto x = at::randn({1, 4, 6, 12});
  EXPECT_TRUE(at::equal(copy->forward(x), layer->forward(x)));
  EXPECT_ERROR(layer->forward(at::zeros({1, 5, 6, 12})), ErrorKind::data, "multiples of 2 and 3, got [1,5,6,12]");
  auto shifted = options_of(false, false);
  shifted.layer.shift = {1, 1};
  EXPECT_ERROR(PartitionAttention{shifted}, ErrorKind::usage, "shift 1x1, expected none");
}

}  // namespace
}  // namespace fovea::testing
