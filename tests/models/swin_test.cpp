#include "fovea/vision/models/swin.h"

#include <gtest/gtest.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/vision/models/registry.h"

namespace fovea::testing {
namespace {

// Two stages on 28×28 pixels: grids of 14×14 and 7×7.
SwinOptions small() {
  return {
      .image_size = 28, .patch = 2, .dim = 24, .depths = {2, 2}, .heads = {2, 4}, .in_channels = 1, .num_classes = 10};
}

Swin made(const SwinOptions& options) {
  at::manual_seed(1);
  Swin model(options);
  model->eval();
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.add_(at::randn_like(parameter), 0.1);
  return model;
}

TEST(Swin, GridIsThatOfTheFeatures) {
  const at::NoGradGuard no_grad;
  for (const auto padding : {SwinPadding::timm, SwinPadding::torchvision}) {
    auto options = small();
    options.padding = padding;
    auto model = made(options);
    for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{28, 28}, {3, 41}, {2, 2}, {57, 30}, {64, 45}}) {
      const auto features = model->forward_features(at::randn({1, 1, h, w}));
      const auto grid = model->grid(h, w);
      EXPECT_EQ(features.sizes(), at::IntArrayRef({1, 48, grid.height, grid.width})) << h << "x" << w;
      EXPECT_EQ(grid.prefix, 0);
    }
  }
  EXPECT_EQ(made(small())->grid(29, 31).height, 8);  // 15 patches, 8 after merging
}

TEST(Swin, ShiftsEverySecondBlockUnlessOneWindowIsTheGrid) {
  const auto shift_of = [](const Swin& model, size_t stage, size_t block) {
    auto* layer = model->layers->at<SwinStageImpl>(stage).blocks->at<SwinBlockImpl>(block).attn.get();
    return layer->options.shift[0];
  };
  auto model = made(small());
  EXPECT_EQ(shift_of(model, 0, 0), 0);
  EXPECT_EQ(shift_of(model, 0, 1), 3);
  EXPECT_EQ(shift_of(model, 1, 0), 0);
  EXPECT_EQ(shift_of(model, 1, 1), 0);
  auto options = small();
  options.image_size = 20;  // grids of 10 and 5: the second shrinks its windows
  const auto& narrow = made(options)->layers->at<SwinStageImpl>(1).blocks->at<SwinBlockImpl>(0).options.attention;
  EXPECT_EQ(narrow.window[0], 5);
  options.padding = SwinPadding::torchvision;
  const auto& kept = made(options)->layers->at<SwinStageImpl>(1).blocks->at<SwinBlockImpl>(1).options.attention;
  EXPECT_EQ(kept.window[0], 7);
  EXPECT_EQ(kept.shift[0], 3);
}

TEST(Swin, LogitsArePooledFeaturesThroughTheClassifier) {
  const at::NoGradGuard no_grad;
  auto options = small();
  auto model = made(options);
  const auto x = at::randn({3, 1, 28, 28});
  const auto features = model->forward_features(x);
  const auto pooled = model->pool(features);
  EXPECT_LE(relative_error(pooled, features.to(at::kDouble).flatten(2).mean(2)), 1e-5);
  EXPECT_TRUE(at::equal(model->classify(pooled), model->forward(x)));
  options.num_classes = 0;
  EXPECT_EQ(made(options)->forward(x).sizes(), at::IntArrayRef({3, 48}));
}

TEST(Swin, ImagesOfABatchAreIndependent) {
  const at::NoGradGuard no_grad;
  auto model = made(small());
  const auto x = at::randn({3, 1, 30, 27});
  const auto together = model->forward(x);
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_LE(relative_error(model->forward(x.narrow(0, i, 1)), together.narrow(0, i, 1)), 1e-5);
  }
}

TEST(Swin, PreparedGivesTheSame) {
  const at::NoGradGuard no_grad;
  auto model = made(small());
  const auto x = at::randn({2, 1, 28, 28});
  const auto plain = model->forward(x);
  prepare_for_inference(*model);
  EXPECT_LE(relative_error(model->forward(x), plain), 1e-5);
}

TEST(Swin, CloneStandsAlone) {
  const at::NoGradGuard no_grad;
  auto model = made(small());
  const auto x = at::randn({1, 1, 28, 28});
  const auto expected = model->forward(x);
  const auto copy = std::dynamic_pointer_cast<SwinImpl>(model->clone());
  EXPECT_TRUE(at::equal(copy->forward(x), expected));
  for (auto& parameter : copy->parameters()) parameter.zero_();
  EXPECT_EQ(copy->forward(x).abs().max().item<float>(), 0);
  EXPECT_TRUE(at::equal(model->forward(x), expected));
}

TEST(Swin, EveryBlockIsRecordedWithTheGridOfItsStage) {
  const at::NoGradGuard no_grad;
  auto model = made(small());
  AttentionRecorder recorder(*model, {.layers = R"(layers\.\d\.blocks\.\d\.attn)"});
  model->forward(at::randn({2, 1, 28, 20}));
  ASSERT_EQ(recorder.maps().size(), 4);
  const auto& first = recorder.maps()[1];
  EXPECT_EQ(first.path, "layers.0.blocks.1.attn");
  EXPECT_EQ(first.grid.height, 14);
  EXPECT_EQ(first.grid.width, 10);
  EXPECT_EQ(first.weights.sizes(), at::IntArrayRef({2 * 4, 2, 49, 49}));
  const auto& last = recorder.maps()[3];
  EXPECT_EQ(last.grid.height, 7);
  EXPECT_EQ(last.grid.width, 5);
  EXPECT_EQ(last.weights.sizes(), at::IntArrayRef({2, 4, 49, 49}));
}

TEST(Swin, TrainsWithEveryParameter) {
  auto model = made(small());
  model->train();
  model->forward(at::randn({2, 1, 28, 28})).square().sum().backward();
  for (const auto& item : model->named_parameters()) {
    EXPECT_GT(item.value().grad().abs().max().item<float>(), 0) << item.key();
  }
}

TEST(Swin, V2StartsClosedAndKeepsItsParts) {
  const at::NoGradGuard no_grad;
  auto options = small();
  options.v2 = true;
  options.pretrained_windows = {5, 0};
  at::manual_seed(1);
  Swin fresh(options);
  fresh->eval();
  auto* stage = fresh->layers->at<SwinStageImpl>(1).blocks->at<SwinBlockImpl>(0).cosine_attn.get();
  EXPECT_EQ(stage->cpb_mlp->options.pretrained[0], 7);
  EXPECT_EQ(
      fresh->layers->at<SwinStageImpl>(0).blocks->at<SwinBlockImpl>(1).cosine_attn->cpb_mlp->options.pretrained[0], 5);
  EXPECT_EQ(fresh->layers->at<SwinStageImpl>(1).downsample->norm->weight.size(0), 48);
  const auto tokens = at::randn({1, 14, 14, 24});
  EXPECT_TRUE(at::equal(fresh->layers->at<SwinStageImpl>(0).forward(tokens), tokens));  // all branches have weight 0

  auto model = made(options);
  for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{28, 28}, {3, 41}, {57, 30}}) {
    const auto grid = model->grid(h, w);
    EXPECT_EQ(model->forward_features(at::randn({1, 1, h, w})).sizes(),
              at::IntArrayRef({1, 48, grid.height, grid.width}));
  }
  const auto x = at::randn({1, 1, 28, 20});
  const auto expected = model->forward(x);
  const auto copy = std::dynamic_pointer_cast<SwinImpl>(model->clone());
  EXPECT_TRUE(at::equal(copy->forward(x), expected));
  for (auto& parameter : copy->parameters()) parameter.zero_();
  EXPECT_TRUE(at::equal(model->forward(x), expected));
  AttentionRecorder recorder(*model, {.layers = R"(layers\.\d\.blocks\.\d\.attn)"});
  model->forward(x);
  ASSERT_EQ(recorder.maps().size(), 4);
  EXPECT_EQ(recorder.maps()[1].weights.sizes(), at::IntArrayRef({4, 2, 49, 49}));
  EXPECT_EQ(recorder.maps()[1].shift, 3);
}

TEST(Swin, RefusesWhatCannotBe) {
  const auto with = [](auto change) {
    auto options = small();
    change(options);
    return options;
  };
  EXPECT_ERROR(Swin(SwinOptions{}), ErrorKind::usage, "image_size 0");
  EXPECT_ERROR(Swin(with([](auto& o) { o.depths = {}; })), ErrorKind::usage, "depths of 0 stages, heads of 2");
  EXPECT_ERROR(Swin(with([](auto& o) { o.depths = {2, 0}; })), ErrorKind::usage, "depths [2,0]");
  EXPECT_ERROR(Swin(with([](auto& o) { o.heads = {2, 5}; })), ErrorKind::usage, "dim 48 is not divisible by heads 5");
  EXPECT_ERROR(Swin(with([](auto& o) { o.num_classes = -1; })), ErrorKind::usage, "num_classes -1");
  EXPECT_ERROR(Swin(with([](auto& o) { o.pretrained_windows = {7, 7}; })), ErrorKind::usage, "which has none");
  EXPECT_ERROR(Swin(with([](auto& o) { o.v2 = true, o.pretrained_windows = {7}; })), ErrorKind::usage,
               "pretrained_windows [7] of 2 stages of SwinV2");
  auto model = made(small());
  EXPECT_ERROR(model->forward(at::zeros({1, 3, 28, 28})), ErrorKind::data, "[B,1,h,w], got [1,3,28,28]");
  EXPECT_ERROR(model->forward(at::zeros({1, 1, 0, 28})), ErrorKind::data, "0x28");
  auto cutting = made(with([](auto& o) { o.padding = SwinPadding::torchvision; }));
  EXPECT_ERROR(cutting->forward(at::zeros({1, 1, 1, 28})), ErrorKind::data, "smaller than 2x2");
}

TEST(Swin, StandsInTheRegistry) {
  const auto named = create_model("swin_tiny_patch4_window7_224", {.num_classes = 3, .image_size = 32});
  EXPECT_EQ(named.info.family, "swin");
  const at::NoGradGuard no_grad;
  named.model->module().eval();
  EXPECT_EQ(named.model->forward(at::randn({1, 3, 32, 32})).sizes(), at::IntArrayRef({1, 3}));
  EXPECT_EQ(named.model->grid(32, 40).width, 2);
}

}  // namespace
}  // namespace fovea::testing
