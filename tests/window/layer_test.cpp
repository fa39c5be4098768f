#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/window/patch_merging.h"
#include "fovea/modules/window/swin_block.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/tests/window/oracle.h"

namespace fovea::testing {
namespace {

const WindowAttentionOptions kOptions = {.dim = 12, .heads = 3, .window = {4, 4}, .shift = {2, 2}, .grid = {8, 8}};

WindowAttention layer(const WindowAttentionOptions& options = kOptions) {
  at::manual_seed(1);
  WindowAttention made(options);
  const at::NoGradGuard no_grad;
  for (auto& parameter : made->parameters()) parameter.normal_();
  return made;
}

OracleResult oracle_of(WindowAttention& attn, const at::Tensor& x) {
  const auto& o = attn->options;
  const WindowLayout layout = window_layout(
      x.size(1), x.size(2), {.heads = o.heads, .window = o.window, .shift = o.shift, .pad_first = o.pad_first});
  const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kDouble); };
  const auto qkv = at::linear(wide(x), wide(attn->qkv->weight), wide(attn->qkv->bias));
  auto result = oracle(
      qkv, {.heads = o.heads, .bias_table = attn->relative_position_bias_table, .pad_row = attn->qkv->bias}, layout);
  result.output = at::linear(result.output, wide(attn->proj->weight), wide(attn->proj->bias));
  return result;
}

TEST(WindowAttentionLayer, EqualsLoopsAtTheBuiltSizeAndAtOthers) {
  const at::NoGradGuard no_grad;
  for (const bool pad_first : {false, true}) {
    auto options = kOptions;
    options.pad_first = pad_first;
    auto attn = layer(options);
    for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{8, 8}, {7, 9}, {3, 2}, {1, 13}}) {
      const auto x = at::randn({2, h, w, 12});
      EXPECT_LE(relative_error(attn->forward(x), oracle_of(attn, x).output), 1e-5) << h << "x" << w;
    }
  }
}

TEST(WindowAttentionLayer, PreparedGivesTheSameAtEverySize) {
  const at::NoGradGuard no_grad;
  for (const int64_t shift : {0, 2}) {
    auto options = kOptions;
    options.shift = {shift, shift};
    auto attn = layer(options);
    attn->eval();
    const auto x = at::randn({2, 8, 8, 12});
    const auto other = at::randn({2, 9, 6, 12});
    const auto plain = attn->forward(x), plain_other = attn->forward(other);
    prepare_for_inference(*attn);
    EXPECT_LE(relative_error(attn->forward(x), plain), 1e-5);
    EXPECT_LE(relative_error(attn->forward(other), plain_other), 1e-5);
    attn->relative_position_bias_table.mul_(2);  // the packed bias is of the old table
    EXPECT_LE(relative_error(attn->forward(x), oracle_of(attn, x).output), 1e-5);
  }
}

TEST(WindowAttentionLayer, KeysAreTimms) {
  std::vector<std::string> keys;
  for (const auto& item : layer()->named_parameters()) keys.push_back(item.key());
  EXPECT_THAT(keys, ::testing::UnorderedElementsAre("relative_position_bias_table", "qkv.weight", "qkv.bias",
                                                    "proj.weight", "proj.bias"));
  EXPECT_TRUE(layer()->named_buffers().is_empty());
  EXPECT_EQ(layer()->relative_position_bias_table.sizes(), at::IntArrayRef({49, 3}));
}

TEST(WindowAttentionLayer, ClonesStandAlone) {
  torch::nn::Sequential model(layer());
  const auto x = at::randn({1, 8, 8, 12});
  const auto copy = std::dynamic_pointer_cast<torch::nn::SequentialImpl>(model->clone());
  const auto expected = model->forward(x);
  EXPECT_TRUE(at::equal(copy->forward(x), expected));
  {
    const at::NoGradGuard no_grad;
    for (auto& parameter : copy->parameters()) parameter.zero_();
  }
  EXPECT_TRUE(at::equal(model->forward(x), expected));
  EXPECT_EQ(copy->forward(x).abs().max().item<float>(), 0);
}

TEST(WindowAttentionLayer, TablesKeepTheirType) {
  auto attn = layer();
  attn->to(at::kBFloat16);
  for (const auto* table : attn->tables()) {
    EXPECT_EQ(table->scalar_type(), table == attn->tables().back() ? at::kFloat : at::kLong);
  }
  EXPECT_EQ(attn->relative_position_bias_table.scalar_type(), at::kBFloat16);
  const auto copy = std::dynamic_pointer_cast<WindowAttentionImpl>(attn->clone());
  for (size_t i = 0; i < copy->tables().size(); ++i) EXPECT_TRUE(at::equal(*copy->tables()[i], *attn->tables()[i]));
}

TEST(WindowAttentionLayer, RunsInBfloat16) {
  const at::NoGradGuard no_grad;
  auto attn = layer();
  attn->to(at::kBFloat16);
  attn->eval();
  const auto x = at::randn({2, 8, 8, 12}).to(at::kBFloat16);
  const auto expected = oracle_of(attn, x).output;
  const auto output = attn->forward(x);
  EXPECT_EQ(output.scalar_type(), at::kBFloat16);
  EXPECT_LE(relative_error(output, expected), 3e-2);  // three products one after the other
  prepare_for_inference(*attn);
  EXPECT_LE(relative_error(attn->forward(x), expected), 3e-2);
}

TEST(WindowAttentionLayer, TrainsWithEveryParameter) {
  auto attn = layer();
  attn->forward(at::randn({1, 6, 7, 12})).square().sum().backward();
  for (const auto& item : attn->named_parameters()) {
    EXPECT_GT(item.value().grad().abs().max().item<float>(), 0) << item.key();
  }
}

TEST(WindowAttentionLayer, MapsAreRecordedAndNoOutputBitChanges) {
  const at::NoGradGuard no_grad;
  for (const bool pad_first : {false, true}) {
    auto options = kOptions;
    options.pad_first = pad_first;
    options.window = {4, 3};
    options.shift = {2, 1};
    torch::nn::Sequential model(layer(options));
    const auto x = at::randn({2, 7, 9, 12});
    const auto plain = model->forward(x);
    AttentionRecorder recorder(*model, {.layers = "0", .queries = {0}});
    EXPECT_TRUE(at::equal(model->forward(x), plain));
    ASSERT_EQ(recorder.maps().size(), 1);
    const auto& map = recorder.maps()[0];
    EXPECT_EQ(map.path, "0");
    EXPECT_EQ(map.kind, MapKind::tokens);
    EXPECT_EQ(map.grid.height, 7);
    EXPECT_EQ(map.grid.width, 9);
    EXPECT_EQ(map.grid.prefix, 0);
    EXPECT_EQ(map.window, 4);
    EXPECT_EQ(map.window_width, 3);
    EXPECT_EQ(map.shift, 2);
    EXPECT_EQ(map.shift_width, 1);
    EXPECT_EQ(map.pad_first, pad_first);
    EXPECT_TRUE(map.queries.empty());
    auto attn = model->ptr<WindowAttentionImpl>(0);
    WindowAttention held(attn);
    const auto expected = oracle_of(held, x).weights;
    ASSERT_EQ(map.weights.sizes(), at::IntArrayRef({2 * 6, 3, 12, 12}));
    EXPECT_LE((map.weights - expected).abs().max().item<double>(), 1e-5);
  }
}

TEST(WindowAttentionLayer, MapGradientsEqualThoseOfDifferentiableMaps) {
  torch::nn::Sequential model(layer());
  const auto x = at::randn({2, 7, 8, 12});
  const auto cotangent = at::randn({2, 7, 8, 12});
  AttentionRecorder differentiable(*model, {.layers = "0", .differentiable = true});
  const auto output = model->forward(x);
  auto weights = differentiable.maps().at(0).weights;
  weights.retain_grad();
  output.backward(cotangent);
  AttentionRecorder recorder(*model, {.layers = "0", .gradients = true});
  model->forward(x).backward(cotangent);
  const auto& map = recorder.maps().at(0);
  ASSERT_TRUE(map.gradient.defined());
  EXPECT_FALSE(map.weights.requires_grad());
  EXPECT_LE(relative_error(map.gradient, weights.grad()), 1e-5);
}

TEST(WindowAttentionLayer, RefusesWhatCannotBe) {
  EXPECT_ERROR(WindowAttention(WindowAttentionOptions{}), ErrorKind::usage, "dim 0");
  EXPECT_ERROR(WindowAttention({.dim = 10, .heads = 3}), ErrorKind::usage, "dim 10 is not divisible by heads 3");
  EXPECT_ERROR(WindowAttention({.dim = 9, .heads = 3, .shift = {7, 0}}), ErrorKind::usage, "shift 7x0");
  EXPECT_ERROR(WindowAttention({.dim = 9, .heads = 3, .attn_drop = 1}), ErrorKind::usage, "attn_drop 1");
  EXPECT_ERROR(layer()->forward(at::zeros({1, 8, 8, 13})), ErrorKind::data, "[B,h,w,12], got [1,8,8,13]");
  EXPECT_ERROR(layer()->forward(at::zeros({1, 64, 12})), ErrorKind::data, "got [1,64,12]");
}

TEST(SwinBlock, DropsWholeBranchesInTrainingAlone) {
  at::manual_seed(2);
  SwinBlock block({.attention = kOptions, .drop_path = 0.5});
  const auto x = at::randn({64, 4, 4, 12});
  const auto changed = [&](const at::Tensor& y) { return (y - x).abs().amax({1, 2, 3}).gt(0).sum().item<int64_t>(); };
  const at::NoGradGuard no_grad;
  const int64_t kept = changed(block->forward(x));
  EXPECT_GT(kept, 32);  // 3 of 4 keep a branch at least
  EXPECT_LT(kept, 64);
  block->eval();
  EXPECT_EQ(changed(block->forward(x)), 64);
  EXPECT_ERROR(SwinBlock({.attention = kOptions, .mlp_ratio = 0}), ErrorKind::usage, "mlp_ratio 0");
}

TEST(PatchMerging, EqualsTheLoopAtEvenAndOddSizes) {
  const at::NoGradGuard no_grad;
  at::manual_seed(3);
  PatchMerging merge({.dim = 3, .out_dim = 5});
  for (auto& parameter : merge->parameters()) parameter.normal_();
  for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{4, 6}, {5, 4}, {4, 3}, {1, 1}}) {
    const auto x = at::randn({2, h, w, 3});
    const auto y = merge->forward(x);
    ASSERT_EQ(y.sizes(), at::IntArrayRef({2, (h + 1) / 2, (w + 1) / 2, 5}));
    for (int64_t i = 0; i < y.size(1); ++i) {
      for (int64_t j = 0; j < y.size(2); ++j) {
        std::vector<at::Tensor> four;
        for (const auto& [down, right] : std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {1, 0}, {0, 1}, {1, 1}}) {
          const bool inside = 2 * i + down < h && 2 * j + right < w;
          four.push_back(inside ? x.select(1, 2 * i + down).select(1, 2 * j + right).to(at::kDouble)
                                : at::zeros({2, 3}, at::kDouble));
        }
        const auto quad = at::cat(four, 1);  // [2,12]
        const auto mean = quad.mean(1, true);
        const auto normed =
            (quad - mean) / ((quad - mean).square().mean(1, true) + 1e-5).sqrt() * merge->norm->weight.to(at::kDouble) +
            merge->norm->bias.to(at::kDouble);
        const auto expected = normed.matmul(merge->reduction->weight.to(at::kDouble).t());
        EXPECT_LE(relative_error(y.select(1, i).select(1, j), expected), 1e-5) << h << "x" << w << " " << i << "," << j;
      }
    }
  }
  EXPECT_EQ(PatchMerging({.dim = 3})->reduction->weight.sizes(), at::IntArrayRef({6, 12}));
  EXPECT_FALSE(merge->reduction->bias.defined());
  EXPECT_ERROR(merge->forward(at::zeros({1, 4, 4, 2})), ErrorKind::data, "[B,h,w,3], got [1,4,4,2]");
}

}  // namespace
}  // namespace fovea::testing
