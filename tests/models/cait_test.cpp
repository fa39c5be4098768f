#include "fovea/vision/models/cait.h"

#include <gtest/gtest.h>

#include "fovea/modules/inference/prepare.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

CaitOptions small_cait() {
  return {.image_size = 12, .patch = 4, .dim = 8, .depth = 2, .heads = 2, .num_classes = 5, .layer_scale = 0.5};
}

Cait made_cait(const CaitOptions& options = small_cait()) {
  at::manual_seed(1);
  Cait model(options);
  model->eval();
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.add_(at::randn_like(parameter), 0.1);
  return model;
}

TEST(Cait, GridIsThatOfTheFeatures) {
  const at::NoGradGuard no_grad;
  auto model = made_cait();
  for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{12, 12}, {4, 4}, {8, 20}, {4, 36}}) {
    const auto features = model->forward_features(at::randn({2, 3, h, w}));
    EXPECT_EQ(model->grid(h, w).prefix, 1);
    EXPECT_EQ(features.sizes(), at::IntArrayRef({2, 1 + h * w / 16, 8}));
    EXPECT_EQ(model->pool(features).sizes(), at::IntArrayRef({2, 8}));
    EXPECT_EQ(model->logits(features).sizes(), at::IntArrayRef({2, 5}));
  }
  auto options = small_cait();
  options.num_classes = 0;
  EXPECT_EQ(made_cait(options)->forward(at::randn({1, 3, 12, 12})).sizes(), at::IntArrayRef({1, 8}));
}

TEST(Cait, PatchesNeverSeeTheClassToken) {
  const at::NoGradGuard no_grad;
  auto model = made_cait();
  const auto x = at::randn({1, 3, 12, 12});
  const auto before = model->forward_features(x);
  model->cls_token.normal_();
  const auto after = model->forward_features(x);
  EXPECT_TRUE(at::equal(before.slice(1, 1), after.slice(1, 1)));
  EXPECT_FALSE(at::allclose(before.select(1, 0), after.select(1, 0)));
}

TEST(Cait, MapsKnowTheirGrid) {
  const at::NoGradGuard no_grad;
  auto model = made_cait();
  const AttentionRecorder recorder(*model, {.layers = R"(blocks(_token_only)?\.1\.attn)"});
  model->forward(at::randn({2, 3, 8, 24}));
  ASSERT_EQ(recorder.maps().size(), 2);
  const AttentionMap &patches = recorder.maps()[0], &token = recorder.maps()[1];
  EXPECT_EQ(patches.weights.sizes(), at::IntArrayRef({2, 2, 12, 12}));
  EXPECT_EQ(patches.grid.prefix, 0);
  EXPECT_EQ(token.path, "blocks_token_only.1.attn");
  EXPECT_EQ(token.weights.sizes(), at::IntArrayRef({2, 2, 1, 13}));
  EXPECT_EQ(token.grid.prefix, 1);
  for (const AttentionMap& map : recorder.maps()) {
    EXPECT_EQ(map.grid.height, 2);
    EXPECT_EQ(map.grid.width, 6);
    EXPECT_LE((map.weights.sum(-1) - 1).abs().max().item<float>(), 1e-5);
  }
}

TEST(Cait, CloneAndPreparedGiveTheSame) {
  const at::NoGradGuard no_grad;
  auto model = made_cait();
  const auto x = at::randn({2, 3, 8, 16});
  const auto expected = model->forward(x);
  const auto copy = std::dynamic_pointer_cast<CaitImpl>(model->clone());
  EXPECT_TRUE(at::equal(copy->forward(x), expected));
  for (auto& parameter : copy->parameters()) parameter.zero_();
  EXPECT_TRUE(at::equal(model->forward(x), expected));
  prepare_for_inference(*model);
  EXPECT_LE(relative_error(model->forward(x), expected), 1e-5);
}

TEST(Cait, TrainsWithEveryParameter) {
  auto model = made_cait();
  model->train();
  model->forward(at::randn({2, 3, 12, 12})).square().sum().backward();
  for (const auto& item : model->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_GT(item.value().grad().abs().max().item<float>(), 0) << item.key();
  }
}

TEST(Cait, RefusesWhatDoesNotFit) {
  const auto refused = [](auto set, const char* part) {
    auto options = small_cait();
    set(options);
    EXPECT_ERROR(Cait{options}, ErrorKind::usage, part);
  };
  refused([](CaitOptions& o) { o.depth = 0; }, "depth 0");
  refused([](CaitOptions& o) { o.class_depth = 0; }, "class_depth 0");
  refused([](CaitOptions& o) { o.heads = 3; }, "dim 8 is not divisible by heads 3");
  refused([](CaitOptions& o) { o.image_size = 14; }, "image_size 14 is not a multiple of the patch 4");
  refused([](CaitOptions& o) { o.num_classes = -1; }, "num_classes -1");
  refused([](CaitOptions& o) { o.head_drop = 1; }, "head_drop 1");
  auto model = made_cait();
  EXPECT_ERROR(model->forward_features(at::zeros({1, 1, 12, 12})), ErrorKind::data, "[B,3,h,w], got [1,1,12,12]");
  EXPECT_ERROR(model->forward_features(at::zeros({1, 3, 12, 13})), ErrorKind::data, "12x13");
  auto& block = model->blocks->at<CaitBlockImpl>(0);
  EXPECT_ERROR(block.forward(at::zeros({1, 1, 8}), at::zeros({1, 4, 8})), ErrorKind::usage, "takes no class token");
}

}  // namespace
}  // namespace fovea::testing
