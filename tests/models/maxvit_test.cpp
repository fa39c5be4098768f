#include "fovea/vision/models/maxvit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/vision/models/inception.h"

namespace fovea::testing {
namespace {

MaxVitOptions small_maxvit(bool tensorflow) {
  return {.image_size = 64,
          .stem = {8, 16},
          .dims = {16, 16, 32, 32},
          .depths = {1, 2, 1, 1},
          .head_width = 8,
          .in_channels = 2,
          .num_classes = 5,
          .tensorflow = tensorflow};
}

// Evaluation mode, with nothing left at its neutral start.
MaxVit made_maxvit(bool tensorflow) {
  at::manual_seed(5);
  MaxVit model(small_maxvit(tensorflow));
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) {
    if (parameter.dim() == 1) parameter.uniform_(0.5, 1.5);
  }
  for (const auto& item : model->named_buffers()) {
    if (item.key().ends_with("running_mean")) item.value().normal_();
    if (item.key().ends_with("running_var")) item.value().uniform_(0.5, 2);
  }
  model->eval();
  return model;
}

TEST(MaxVit, GridIsThatOfTheFeatures) {
  const at::NoGradGuard no_grad;
  for (const bool tensorflow : {false, true}) {
    auto model = made_maxvit(tensorflow);
    EXPECT_EQ(model->forward_features(at::randn({1, 2, 64, 192})).sizes(), at::IntArrayRef({1, 32, 2, 6}));
    const auto grid = model->grid(64, 192);
    EXPECT_EQ(std::pair(grid.height, grid.width), std::pair(int64_t{2}, int64_t{6}));
    EXPECT_ERROR(model->grid(64, 96), ErrorKind::data, "64x96 pixels (height x width) does not divide into windows of");
    EXPECT_ERROR(model->grid(0, 64), ErrorKind::data, "0x64");
    EXPECT_ERROR(model->ImageModel::forward(at::zeros({1, 3, 64, 64})), ErrorKind::data, "[B,2,h,w], got [1,3,64,64]");
  }
}

TEST(MaxVit, PreparedGivesTheSame) {
  const at::NoGradGuard no_grad;
  for (const bool tensorflow : {false, true}) {
    auto model = made_maxvit(tensorflow);
    const auto x = at::randn({2, 2, 64, 128});
    const auto plain = model->ImageModel::forward(x);
    prepare_for_inference(*model);
    const auto packed = [&](bool expected) {
      for (const auto& item : model->named_modules()) {
        const auto* conv = dynamic_cast<const Conv2dImpl*>(item.value().get());
        if (conv == nullptr || item.key().find(".se") != std::string::npos) continue;
        EXPECT_EQ(conv->is_packed(), expected) << item.key();
      }
    };
    packed(true);
    EXPECT_LE(relative_error(model->ImageModel::forward(x), plain), 1e-5);
    model->train();
    packed(false);
    model->eval();
    EXPECT_TRUE(at::equal(model->ImageModel::forward(x), plain));
  }
}

TEST(MaxVit, ClonesAreTheirOwn) {
  const at::NoGradGuard no_grad;
  for (const bool tensorflow : {false, true}) {
    auto model = made_maxvit(tensorflow);
    for (auto& parameter : model->parameters()) {
      if (parameter.dim() == 2) parameter.normal_(0, 0.3);  // tokens that differ: no place has the same weight
    }
    const auto x = at::randn({1, 2, 64, 64});
    const auto before = model->ImageModel::forward(x);
    const auto copy = model->clone();
    for (auto& parameter : model->parameters()) parameter.zero_();
    auto* same = dynamic_cast<ImageModel*>(copy.get());
    EXPECT_TRUE(at::equal(same->forward(x), before));
    for (auto& item : copy->named_parameters()) {  // its parameters are those that it runs
      const auto kept = item.value().clone();
      item.value().mul_(2).add_(at::randn_like(kept));
      EXPECT_FALSE(at::equal(same->forward(x), before)) << item.key();
      item.value().copy_(kept);
    }
  }
}

TEST(MaxVit, GatesAndAttentionAreRecordedAndNothingChanges) {
  const at::NoGradGuard no_grad;
  auto model = made_maxvit(true);
  const auto x = at::randn({1, 2, 64, 64});
  const auto plain = model->ImageModel::forward(x);
  AttentionRecorder recorder(*model);
  EXPECT_TRUE(at::equal(model->ImageModel::forward(x), plain));
  ASSERT_EQ(recorder.maps().size(), 15);  // of five blocks
  for (size_t i = 0; i < recorder.maps().size(); ++i) {
    const AttentionMap& map = recorder.maps()[i];
    EXPECT_EQ(map.kind, i % 3 == 0 ? MapKind::channel : MapKind::tokens);
    EXPECT_EQ(map.strided, i % 3 == 2) << map.path;
  }
}

TEST(MaxVit, TrainsWithEveryParameter) {
  for (const bool tensorflow : {false, true}) {
    auto options = small_maxvit(tensorflow);
    options.drop_path = 0.1;
    MaxVit model(options);
    model->ImageModel::forward(at::randn({4, 2, 64, 64})).square().sum().backward();
    for (const auto& item : model->named_parameters()) EXPECT_TRUE(item.value().grad().defined()) << item.key();
  }
}

TEST(MaxVit, RefusesWhatDoesNotFit) {
  const auto refused = [](auto change) {
    auto options = small_maxvit(true);
    change(options);
    return options;
  };
  const auto usage = ErrorKind::usage;
  EXPECT_ERROR(MaxVit(refused([](auto& o) { o.image_size = 48; })), usage, "image_size 48 is no multiple of 32");
  EXPECT_ERROR(MaxVit(refused([](auto& o) { o.depths = {1, 0, 1, 1}; })), usage, "[1,0,1,1]");
  EXPECT_ERROR(MaxVit(refused([](auto& o) { o.dims.pop_back(); })), usage, "[16,16,32]");
  EXPECT_ERROR(MaxVit(refused([](auto& o) { o.head_width = 5; })), usage, "dim 16 is not divisible by heads 3");
  EXPECT_ERROR(MaxVit(refused([](auto& o) { o.num_classes = -1; })), usage, "num_classes -1");
  EXPECT_ERROR(MbConvImpl({.in_channels = 8, .inner_channels = 16, .out_channels = 16}), usage,
               "stride 1 from 8 to 16");
}

TEST(Inception, PreparedAndClonedGiveTheSame) {
  at::manual_seed(6);
  const at::NoGradGuard no_grad;
  Inception model({.squeeze_excite = true, .in_channels = 1, .num_classes = 3});
  model->eval();
  const auto x = at::randn({1, 1, 75, 99});
  const auto plain = model->ImageModel::forward(x);
  EXPECT_EQ(plain.sizes(), at::IntArrayRef({1, 3}));
  EXPECT_TRUE(at::equal(dynamic_cast<ImageModel*>(model->clone().get())->forward(x), plain));
  prepare_for_inference(*model);
  EXPECT_LE(relative_error(model->ImageModel::forward(x), plain), 1e-4);
  const auto features = model->forward_features(x);
  const auto grid = model->grid(75, 99);
  EXPECT_EQ(features.sizes().slice(2), at::IntArrayRef({grid.height, grid.width}));
  EXPECT_ERROR(model->grid(74, 99), ErrorKind::data, "smaller than 75x75");
  EXPECT_ERROR(Inception({.in_channels = 0}), ErrorKind::usage, "in_channels 0");
}

// Kernels that are no squares, plain and packed.
TEST(Conv2d, RectanglesEqualTorchs) {
  at::manual_seed(7);
  const at::NoGradGuard no_grad;
  Conv2d conv({.in_channels = 3, .out_channels = 4, .kernel = 1, .kernel_width = 7, .padding_width = 3});
  EXPECT_EQ(conv->weight.sizes(), at::IntArrayRef({4, 3, 1, 7}));
  const auto x = at::randn({2, 3, 9, 5});
  const auto expected = at::conv2d(x, conv->weight, conv->bias, 1, at::IntArrayRef({0, 3}));
  EXPECT_EQ(expected.sizes(), at::IntArrayRef({2, 4, 9, 5}));
  EXPECT_TRUE(at::equal(conv->forward(x), expected));
  conv->eval();
  conv->pack_with(nullptr);
  EXPECT_LE(relative_error(conv_norm(conv.ptr(), nullptr, x), expected), 1e-5);
  EXPECT_ERROR(Conv2d({.in_channels = 1, .out_channels = 1, .kernel_width = -1}), ErrorKind::usage, "Conv2d");
}

}  // namespace
}  // namespace fovea::testing
