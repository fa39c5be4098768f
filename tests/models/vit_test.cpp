#include "fovea/vision/models/vit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "fovea/modules/inference/init.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/vision/models/resnet.h"

namespace fovea::testing {
namespace {

VitOptions small(bool distilled = false) {
  return {.image_size = 12, .patch = 4, .dim = 8, .depth = 3, .heads = 2, .num_classes = 5, .distilled = distilled};
}

TEST(Vit, GridIsThatOfTheFeatures) {
  const at::NoGradGuard no_grad;
  for (const bool distilled : {false, true}) {
    Vit model(small(distilled));
    for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{12, 12}, {4, 4}, {8, 20}, {20, 8}, {4, 36}}) {
      const auto features = model->forward_features(at::randn({2, 3, h, w}));
      const auto grid = model->grid(h, w);
      EXPECT_EQ(grid.prefix, distilled ? 2 : 1);
      EXPECT_EQ(features.sizes(), at::IntArrayRef({2, grid.prefix + grid.height * grid.width, 8}));
      EXPECT_EQ(model->pool(features).sizes(), at::IntArrayRef({2, 8}));
      EXPECT_EQ(model->logits(features).sizes(), at::IntArrayRef({2, 5}));
    }
  }
}

std::shared_ptr<ImageModel> small_trunk(int64_t in_channels) {
  return std::make_shared<ResNetImpl>(ResNetOptions{.block = ResNetBlock::basic,
                                                    .depths = {1, 1},
                                                    .widths = {4, 6},
                                                    .slot = "se",
                                                    .stem_width = 4,
                                                    .in_channels = in_channels,
                                                    .num_classes = 0});
}

TEST(Vit, ANetworkStandsInPlaceOfPatches) {
  const at::NoGradGuard no_grad;
  VitOptions options = {.image_size = 16,
                        .patch = 8,
                        .dim = 8,
                        .depth = 1,
                        .heads = 2,
                        .num_classes = 5,
                        .class_token = false,
                        .pool = VitPool::average,
                        .backbone = small_trunk,
                        .backbone_channels = 6};
  Vit model(options);
  model->to(at::kDouble);
  model->eval();
  const auto keys = model->named_parameters().keys();
  EXPECT_NE(std::ranges::find(keys, "patch_embed.backbone.layer1.0.conv1.weight"), keys.end());
  EXPECT_NE(std::ranges::find(keys, "patch_embed.proj.weight"), keys.end());

  const auto x = at::randn({2, 3, 16, 24}, at::kDouble);
  const auto seen = model->hybrid_embed->backbone->forward_features(x);  // [2,6,2,3]
  const auto weight = model->hybrid_embed->proj->weight.view({8, 6});
  auto tokens = at::einsum("bchw,dc->bhwd", {seen, weight}) + model->hybrid_embed->proj->bias;
  EXPECT_LE(relative_error(model->hybrid_embed->forward(x), tokens), tolerance(at::kDouble));
  EXPECT_EQ(model->ImageModel::forward(x).sizes(), at::IntArrayRef({2, 5}));

  // A copy has a backbone of its own.
  const auto copy = std::dynamic_pointer_cast<VitImpl>(model->clone());
  for (auto& parameter : copy->parameters()) parameter.zero_();
  EXPECT_LE(relative_error(model->hybrid_embed->forward(x), tokens), tolerance(at::kDouble));

  EXPECT_ERROR(HybridEmbed({.channels = 6, .dim = 8}), ErrorKind::usage, "a backbone is required");
  options.backbone_channels = 7;
  Vit wrong(options);
  EXPECT_ERROR(wrong->ImageModel::forward(at::zeros({1, 3, 16, 16})), ErrorKind::data, "expected features [B,7,h,w]");
  options.cut = true;
  EXPECT_ERROR(Vit{options}, ErrorKind::usage, "no cut");
}

TEST(Vit, PlacesMayStartAsSinusoids) {
  VitOptions options = small();
  options.sinusoidal_start = true;
  EXPECT_ERROR(Vit{options}, ErrorKind::usage, "sinusoidal_start");
  options.class_token = false;
  options.pool = VitPool::average;
  const Vit model(options);
  ASSERT_EQ(model->pos_embed.sizes(), at::IntArrayRef({1, 9, 8}));
  const double slower = std::pow(10.0, -0.5);
  for (int64_t place = 0; place < 9; ++place) {
    const auto row = static_cast<double>(place / 3), column = static_cast<double>(place % 3);
    const double wanted[] = {std::sin(row),    std::cos(row),    std::sin(row * slower),    std::cos(row * slower),
                             std::sin(column), std::cos(column), std::sin(column * slower), std::cos(column * slower)};
    for (int64_t d = 0; d < 8; ++d) EXPECT_NEAR(model->pos_embed[0][place][d].item<double>(), wanted[d] / 2, 1e-6);
  }
}

TEST(Vit, AnswersAtPlacesWhereThatIsAskedFor) {
  const at::NoGradGuard no_grad;
  VitOptions options = small();
  options.at_places = true;
  Vit model(options);
  model->to(at::kDouble);
  model->eval();
  const auto x = at::randn({2, 3, 12, 20}, at::kDouble);
  const auto features = model->forward_features(x);  // the class token first, which is no place
  auto most = at::full({2, 5}, -INFINITY, at::kDouble);
  for (int64_t place = 1; place < features.size(1); ++place) {
    most = at::maximum(most, at::matmul(features.select(1, place), model->head->weight.t()) + model->head->bias);
  }
  EXPECT_LE(relative_error(model->ImageModel::forward(x), most), tolerance(at::kDouble));
  options.distilled = true;
  EXPECT_ERROR(Vit{options}, ErrorKind::usage, "at_places");
}

TEST(Vit, EmptyBatchGivesEmptyLogits) {
  const at::NoGradGuard no_grad;
  Vit model(small());
  EXPECT_EQ(model->ImageModel::forward(at::zeros({0, 3, 12, 12})).sizes(), at::IntArrayRef({0, 5}));
}

TEST(Vit, AnImageIsClassifiedAloneAsInABatch) {
  const at::NoGradGuard no_grad;
  Vit model(small());
  const auto x = at::randn({4, 3, 8, 16});
  const auto together = model->ImageModel::forward(x);
  for (int64_t b = 0; b < 4; ++b) {
    EXPECT_LE(relative_error(model->ImageModel::forward(x.narrow(0, b, 1)), together.narrow(0, b, 1)),
              tolerance(at::kFloat));
  }
}

TEST(Vit, MapsKnowTheirGridAndTheTableStaysAsItIs) {
  const at::NoGradGuard no_grad;
  Vit model(small(/*distilled=*/true));
  const auto table = model->pos_embed.clone();
  const AttentionRecorder recorder(*model, {.layers = R"(blocks\.[12]\.attn)", .queries = {0}});
  model->forward_features(at::randn({1, 3, 8, 24}));
  ASSERT_EQ(recorder.maps().size(), 2);
  EXPECT_EQ(recorder.maps()[1].path, "blocks.2.attn");
  EXPECT_EQ(recorder.maps()[1].weights.sizes(), at::IntArrayRef({1, 2, 1, 14}));
  EXPECT_EQ(recorder.maps()[1].grid.height, 2);
  EXPECT_EQ(recorder.maps()[1].grid.width, 6);
  EXPECT_EQ(recorder.maps()[1].grid.prefix, 2);
  EXPECT_TRUE(at::equal(model->pos_embed, table));
}

TEST(Vit, DistilledHeadsReadTheirOwnTokens) {
  const at::NoGradGuard no_grad;
  at::manual_seed(1);
  Vit model(small(/*distilled=*/true));
  const auto features = at::randn({2, 11, 8});
  const auto [first, second] = model->logits_of_both(features);
  EXPECT_TRUE(at::equal(first, model->head->forward(features.select(1, 0))));
  EXPECT_TRUE(at::equal(second, model->head_dist->forward(features.select(1, 1))));
  EXPECT_TRUE(at::equal(model->logits(features), (first + second) / 2));
  EXPECT_ERROR(model->classify(model->pool(features)), ErrorKind::usage, "logits(features)");
  EXPECT_ERROR(Vit(small())->logits_of_both(features), ErrorKind::usage, "distilled");
}

TEST(Vit, WithoutClassesGivesPooledFeatures) {
  const at::NoGradGuard no_grad;
  for (const bool distilled : {false, true}) {
    auto options = small(distilled);
    options.num_classes = 0;
    Vit model(options);
    EXPECT_FALSE(model->head || model->head_dist);
    const auto features = at::randn({2, 11, 8});
    EXPECT_TRUE(at::equal(model->logits(features), model->pool(features)));
  }
}

TEST(Vit, StartsAsTimm) {
  at::manual_seed(2);
  Vit model({.image_size = 64, .patch = 8, .dim = 64, .depth = 2, .heads = 2, .num_classes = 100, .distilled = true});
  const auto deviation = [](const at::Tensor& t) { return t.std().item<double>(); };
  for (const auto& parameter : model->named_parameters()) {
    const auto& key = parameter.key();
    const auto& value = parameter.value();
    if (key == "cls_token") {
      EXPECT_NEAR(deviation(value), 1e-6, 3e-7);
    } else if (key.starts_with("patch_embed")) {
      EXPECT_NEAR(deviation(value), 1 / std::sqrt(3 * 8 * 8) / std::sqrt(3), 0.01) << key;  // uniform ±1/√fan_in
    } else if (key.find("norm") != std::string::npos && key.ends_with("weight")) {
      EXPECT_TRUE(at::all(value == 1).item<bool>()) << key;
    } else if (key.ends_with("bias")) {
      EXPECT_TRUE(at::all(value == 0).item<bool>()) << key;
    } else {
      EXPECT_NEAR(deviation(value), 0.02, key == "dist_token" ? 0.008 : 0.002) << key;
      EXPECT_NEAR(value.mean().item<double>(), 0, key == "dist_token" ? 0.01 : 0.002) << key;
    }
  }
}

TEST(Vit, DropPathRisesLinearly) {
  auto options = small();
  options.drop_path = 0.3;
  Vit model(options);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_DOUBLE_EQ(model->blocks->at<PreNormBlockImpl>(i).drop_path->options.probability, 0.15 * double(i));
}

TEST(Vit, DropoutActsInTrainingAlone) {
  at::manual_seed(3);
  const auto x = at::randn({8, 3, 12, 12});
  const auto random_in_training = [&](auto set) {
    auto options = small();
    set(options);
    Vit model(options);
    const bool differs = !at::equal(model->ImageModel::forward(x), model->ImageModel::forward(x));
    model->eval();
    EXPECT_TRUE(at::equal(model->ImageModel::forward(x), model->ImageModel::forward(x)));
    return differs;
  };
  EXPECT_FALSE(random_in_training([](VitOptions&) {}));
  EXPECT_TRUE(random_in_training([](VitOptions& o) { o.pos_drop = 0.5; }));
  EXPECT_TRUE(random_in_training([](VitOptions& o) { o.attn_drop = 0.5; }));
  EXPECT_TRUE(random_in_training([](VitOptions& o) { o.proj_drop = 0.5; }));
  EXPECT_TRUE(random_in_training([](VitOptions& o) { o.head_drop = 0.5; }));
  EXPECT_TRUE(random_in_training([](VitOptions& o) { o.drop_path = 0.5; }));
}

TEST(Vit, CloneIsIndependent) {
  const at::NoGradGuard no_grad;
  at::manual_seed(4);
  Vit model(small(/*distilled=*/true));
  model->eval();
  const auto x = at::randn({2, 3, 12, 12});
  const auto before = model->ImageModel::forward(x);
  const auto copy = std::dynamic_pointer_cast<VitImpl>(model->clone());
  ASSERT_TRUE(copy);
  EXPECT_TRUE(at::equal(copy->ImageModel::forward(x), before));
  for (auto& parameter : copy->parameters()) parameter.fill_(0.01);
  EXPECT_FALSE(at::equal(copy->ImageModel::forward(x), before));
  EXPECT_TRUE(at::equal(model->ImageModel::forward(x), before));
}

TEST(Vit, CastsToBfloat16AtOtherSizesToo) {
  const at::NoGradGuard no_grad;
  at::manual_seed(5);
  Vit model(small());
  const auto x = at::randn({2, 3, 20, 8});
  const auto exact = model->forward_features(x);
  model->to(at::kBFloat16);
  const auto narrow = model->forward_features(x.to(at::kBFloat16));
  EXPECT_EQ(narrow.scalar_type(), at::kBFloat16);
  EXPECT_LE(relative_error(narrow, exact), 2 * tolerance(at::kBFloat16));
}

TEST(Vit, KinHaveTheirTokensAndFeatures) {
  struct Case {
    VitOptions options;
    int64_t prefix, width;
  };
  const auto with = [](auto set) {
    auto options = small();
    set(options);
    return options;
  };
  const Case cases[] = {
      {with([](VitOptions& o) { o.registers = 4; }), 5, 8},
      {with([](VitOptions& o) { o.registers = 4, o.embed_prefix = false; }), 5, 8},
      {with([](VitOptions& o) { o.class_token = false, o.pool = VitPool::average; }), 0, 8},
      {with([](VitOptions& o) { o.pool = VitPool::average, o.fc_norm = true; }), 1, 8},
      {with([](VitOptions& o) { o.class_token = false, o.pool = VitPool::attention; }), 0, 8},
      {with([](VitOptions& o) { o.registers = 1, o.pool = VitPool::class_and_average; }), 2, 16},
      {with([](VitOptions& o) { o.pre_norm = true, o.head_bias = false; }), 1, 8},
      {with([](VitOptions& o) { o.swiglu = true; }), 1, 8},
  };
  const at::NoGradGuard no_grad;
  for (const Case& one : cases) {
    Vit model(one.options);
    model->eval();
    for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{12, 12}, {4, 20}, {8, 4}}) {
      const auto features = model->forward_features(at::randn({2, 3, h, w}));
      EXPECT_EQ(model->grid(h, w).prefix, one.prefix);
      EXPECT_EQ(features.sizes(), at::IntArrayRef({2, one.prefix + h * w / 16, 8}));
      EXPECT_EQ(model->pool(features).sizes(), at::IntArrayRef({2, one.width}));
      EXPECT_EQ(model->logits(features).sizes(), at::IntArrayRef({2, 5}));
    }
    const auto x = at::randn({2, 3, 8, 12});
    const auto copy = std::dynamic_pointer_cast<VitImpl>(model->clone());
    EXPECT_TRUE(at::equal(copy->ImageModel::forward(x), model->ImageModel::forward(x)));
    for (auto& parameter : copy->parameters()) parameter.fill_(0.01);
    EXPECT_FALSE(at::equal(copy->ImageModel::forward(x), model->ImageModel::forward(x)));
  }
}

TEST(Vit, MapsOfRegistersAndOfPoolingKnowTheirGrid) {
  const at::NoGradGuard no_grad;
  auto options = small();
  options.registers = 4;
  options.embed_prefix = false;
  options.pool = VitPool::attention;
  Vit model(options);
  const AttentionRecorder recorder(*model, {.layers = R"(blocks\.2\.attn|attn_pool)"});
  model->ImageModel::forward(at::randn({2, 3, 8, 24}));
  ASSERT_EQ(recorder.maps().size(), 2);
  const AttentionMap& block = recorder.maps()[0];
  EXPECT_EQ(block.weights.sizes(), at::IntArrayRef({2, 2, 17, 17}));
  EXPECT_EQ(block.grid.prefix, 5);
  const AttentionMap& pool = recorder.maps()[1];
  EXPECT_EQ(pool.path, "attn_pool");
  EXPECT_EQ(pool.weights.sizes(), at::IntArrayRef({2, 2, 1, 12}));
  EXPECT_EQ(pool.grid.height, 2);
  EXPECT_EQ(pool.grid.width, 6);
  EXPECT_EQ(pool.grid.prefix, 0);
  EXPECT_LE((pool.weights.sum(-1) - 1).abs().max().item<float>(), 1e-5);
}

// Positions that the class token and the registers do not have cannot depend on the grid.
TEST(Vit, PositionsOfPatchesAlone) {
  const at::NoGradGuard no_grad;
  auto options = small();
  options.depth = 1;
  options.registers = 2;
  options.embed_prefix = false;
  Vit model(options);
  EXPECT_EQ(model->pos_embed.sizes(), at::IntArrayRef({1, 9, 8}));
  model->pos_embed.fill_(3);
  model->blocks->at<PreNormBlockImpl>(0).attn->proj->weight.zero_();  // each token alone
  model->eval();
  const auto x = at::randn({1, 3, 12, 12});
  const auto before = model->forward_features(x);
  model->pos_embed.normal_();
  const auto after = model->forward_features(x);
  EXPECT_TRUE(at::equal(before.slice(1, 0, 3), after.slice(1, 0, 3)));
  EXPECT_FALSE(at::allclose(before.slice(1, 3), after.slice(1, 3)));
}

TEST(Vit, LeavesOutPixelsThatFillNoPatch) {
  const at::NoGradGuard no_grad;
  auto options = small();
  options.image_size = 14;
  options.cut = true;
  Vit model(options);
  model->eval();
  const auto x = at::randn({1, 3, 14, 11});
  EXPECT_EQ(model->grid(14, 11).height, 3);
  EXPECT_EQ(model->grid(14, 11).width, 2);
  EXPECT_LE(relative_error(model->forward_features(x), model->forward_features(x.narrow(2, 0, 12).narrow(3, 0, 8))),
            tolerance(at::kFloat));
  EXPECT_ERROR(model->forward_features(at::zeros({1, 3, 12, 3})), ErrorKind::data, "12x3");
}

TEST(Vit, RefusesWhatDoesNotFit) {
  const auto refused = [](auto set, const char* part) {
    auto options = small();
    set(options);
    EXPECT_ERROR(Vit{options}, ErrorKind::usage, part);
  };
  refused([](VitOptions& o) { o.image_size = 0; }, "image_size 0");
  refused([](VitOptions& o) { o.patch = 0; }, "patch 0");
  refused([](VitOptions& o) { o.dim = 0; }, "dim 0");
  refused([](VitOptions& o) { o.depth = 0; }, "depth 0");
  refused([](VitOptions& o) { o.heads = 0; }, "heads 0");
  refused([](VitOptions& o) { o.heads = 3; }, "dim 8 is not divisible by heads 3");
  refused([](VitOptions& o) { o.image_size = 14; }, "image_size 14 is not a multiple of the patch 4");
  refused([](VitOptions& o) { o.num_classes = -1; }, "num_classes -1");
  refused([](VitOptions& o) { o.in_channels = 0; }, "in_channels 0");
  refused([](VitOptions& o) { o.head_drop = 1; }, "head_drop 1");
  refused([](VitOptions& o) { o.drop_path = 2; }, "probability");
  refused([](VitOptions& o) { o.registers = -1; }, "registers -1");
  refused([](VitOptions& o) { o.class_token = false; }, "class_token false");
  refused([](VitOptions& o) { o.class_token = false, o.pool = VitPool::class_and_average; }, "class_token false");
  refused([](VitOptions& o) { o.distilled = true, o.pool = VitPool::average; }, "leave pool and fc_norm");
  Vit model(small());
  EXPECT_ERROR(model->forward_features(at::zeros({1, 1, 12, 12})), ErrorKind::data,
               "expected [B,3,h,w], got [1,1,12,12]");
  EXPECT_ERROR(model->forward_features(at::zeros({1, 3, 12, 13})), ErrorKind::data, "12x13");
  EXPECT_ERROR(model->grid(0, 12), ErrorKind::data, "0x12");
}

}  // namespace
}  // namespace fovea::testing
