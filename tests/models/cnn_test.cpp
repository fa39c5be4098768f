// What all convolutional families have in common, on small networks of each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "fovea/modules/inference/init.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/vision/models/efficientnet.h"
#include "fovea/vision/models/registry.h"
#include "fovea/vision/models/regnet.h"
#include "fovea/vision/models/resnet.h"
#include "fovea/vision/models/senet.h"
#include "fovea/vision/models/vgg.h"

namespace fovea::testing {
namespace {

using Model = std::shared_ptr<ImageModel>;

ResNetOptions resnet(ResNetStem stem, bool mean_shortcut, const std::string& slot) {
  return {.depths = {1, 2},
          .widths = {16, 32},
          .slot = slot,
          .stem = stem,
          .stem_width = 16,
          .in_channels = 2,
          .num_classes = 5,
          .groups = 4,
          .base_width = 16,
          .mean_shortcut = mean_shortcut};
}

SenetOptions senet(SenetBlock block) {
  const bool wide = block == SenetBlock::wide;
  return {.block = block,
          .depths = {1, 2},
          .widths = {16, 32},
          .groups = block == SenetBlock::grouped || wide ? 4 : 1,
          .reduction = 4,
          .deep_stem = wide,
          .stem_width = 8,
          .shortcut_kernel = wide ? 3 : 1,
          .in_channels = 2,
          .num_classes = 5};
}

EfficientNetOptions efficientnet(EfficientNetHead head, bool same_padding) {
  const Activation activation = head == EfficientNetHead::pooled ? Activation::hard_swish : Activation::silu;
  InvertedResidualOptions block{.kind = InvertedBlock::separable,
                                .in_channels = 8,
                                .out_channels = 8,
                                .activation = activation,
                                .same_padding = same_padding,
                                .norm_eps = 1e-3};
  auto wide = block;
  wide.kind = InvertedBlock::inverted;
  wide.inner_channels = 24;
  wide.out_channels = 12;
  wide.kernel = 5;
  wide.stride = 2;
  wide.squeeze = 4;
  wide.gate = head == EfficientNetHead::pooled ? Gate::hard_sigmoid : Gate::sigmoid;
  auto second = wide;
  second.in_channels = 12;
  second.stride = 1;
  auto last = block;
  last.kind = InvertedBlock::plain;
  last.in_channels = 12;
  last.out_channels = 16;
  return {.stem_width = 8,
          .stages = {{block}, {wide, second}, {last}},
          .head_width = 20,
          .head = head,
          .activation = activation,
          .same_padding = same_padding,
          .in_channels = 2,
          .num_classes = 5};
}

RegNetOptions regnet() {
  return {.depths = {1, 2}, .widths = {16, 32}, .stem_width = 8, .in_channels = 2, .num_classes = 5};
}

VggOptions vgg(bool norm) {
  return {.depths = {1, 2}, .widths = {8, 12}, .norm = norm, .head_width = 16, .in_channels = 2, .num_classes = 5};
}

struct Case {
  const char* name;
  std::function<Model()> make;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"seresnext", [] { return std::make_shared<ResNetImpl>(resnet(ResNetStem::pooled, false, "se")); }},
      {"ecaresnext-d", [] { return std::make_shared<ResNetImpl>(resnet(ResNetStem::deep, true, "eca")); }},
      {"resnext-t", [] { return std::make_shared<ResNetImpl>(resnet(ResNetStem::tiered, true, "")); }},
      {"senet", [] { return std::make_shared<SenetImpl>(senet(SenetBlock::bottleneck)); }},
      {"senet-basic", [] { return std::make_shared<SenetImpl>(senet(SenetBlock::basic)); }},
      {"senet-grouped", [] { return std::make_shared<SenetImpl>(senet(SenetBlock::grouped)); }},
      {"senet-wide", [] { return std::make_shared<SenetImpl>(senet(SenetBlock::wide)); }},
      {"efficientnet",
       [] { return std::make_shared<EfficientNetImpl>(efficientnet(EfficientNetHead::normed, false)); }},
      {"efficientnet-same",
       [] { return std::make_shared<EfficientNetImpl>(efficientnet(EfficientNetHead::normed, true)); }},
      {"mobilenet", [] { return std::make_shared<EfficientNetImpl>(efficientnet(EfficientNetHead::pooled, false)); }},
      {"regnet", [] { return std::make_shared<RegNetImpl>(regnet()); }},
      {"vgg", [] { return std::make_shared<VggImpl>(vgg(false)); }},
      {"vgg-bn", [] { return std::make_shared<VggImpl>(vgg(true)); }},
  };
  return all;
}

// Evaluation mode, with nothing left at its neutral start.
Model made(const Case& one) {
  at::manual_seed(5);
  const Model model = one.make();
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->module().parameters()) {
    if (parameter.dim() == 1) parameter.uniform_(0.5, 1.5);
  }
  for (const auto& item : model->module().named_buffers()) {
    if (item.key().ends_with("running_mean")) item.value().normal_();
    if (item.key().ends_with("running_var")) item.value().uniform_(0.5, 2);
  }
  model->module().eval();
  return model;
}

TEST(Cnn, GridIsThatOfTheFeatures) {
  const at::NoGradGuard no_grad;
  for (const Case& one : cases()) {
    const Model model = made(one);
    for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{4, 4}, {32, 32}, {33, 17}, {29, 46}}) {
      const auto features = model->forward_features(at::randn({1, 2, h, w}));
      const auto grid = model->grid(h, w);
      EXPECT_EQ(features.sizes().slice(2), at::IntArrayRef({grid.height, grid.width})) << one.name << h << "×" << w;
    }
    EXPECT_ERROR(model->grid(0, 5), ErrorKind::data, "0×5");
    EXPECT_ERROR(model->forward(at::zeros({1, 3, 8, 8})), ErrorKind::data, "[B,2,h,w], got [1,3,8,8]");
    EXPECT_ERROR(model->forward(at::zeros({2, 8, 8})), ErrorKind::data, "[2,8,8]");
  }
}

TEST(Cnn, PreparedModelsGiveTheSame) {
  const at::NoGradGuard no_grad;
  for (const Case& one : cases()) {
    const Model model = made(one);
    const auto x = at::randn({2, 2, 39, 28});
    const auto plain = model->forward(x);
    EXPECT_EQ(plain.sizes(), at::IntArrayRef({2, 5}));
    prepare_for_inference(model->module());
    for (const auto& item : model->module().named_modules()) {
      const auto* conv = dynamic_cast<const Conv2dImpl*>(item.value().get());
      const bool of_gate = item.key().find(".se") != std::string::npos;
      EXPECT_TRUE(conv == nullptr || of_gate || conv->is_packed()) << one.name << " " << item.key();
    }
    const auto prepared = model->forward(x);
    // Folding the norms changes the last bits.
    const bool without_norms = std::string(one.name) == "vgg";
    EXPECT_TRUE(without_norms || !at::equal(prepared, plain)) << one.name << ": the packed weights were not used";
    EXPECT_LE(relative_error(prepared, plain), 1e-5) << one.name;
    model->module().train();
    model->module().eval();
    EXPECT_TRUE(at::equal(model->forward(x), plain)) << one.name;
  }
}

TEST(Cnn, ClonesAreTheirOwn) {
  const at::NoGradGuard no_grad;
  for (const Case& one : cases()) {
    const Model model = made(one);
    const auto x = at::randn({1, 2, 24, 24});
    const auto before = model->forward(x);
    const auto copy = model->module().clone();
    for (auto& parameter : model->module().parameters()) parameter.zero_();
    auto* same = dynamic_cast<ImageModel*>(copy.get());
    EXPECT_TRUE(at::equal(same->forward(x), before)) << one.name;
    // Its parameters are those that it runs.
    for (auto& item : copy->named_parameters()) {
      const auto kept = item.value().clone();
      item.value().mul_(2).add_(1);
      EXPECT_FALSE(at::equal(same->forward(x), before)) << one.name << " " << item.key();
      item.value().copy_(kept);
    }
  }
}

TEST(Cnn, GatesAreRecordedAndNothingChanges) {
  const at::NoGradGuard no_grad;
  for (const Case& one : cases()) {
    const Model model = made(one);
    const auto x = at::randn({1, 2, 24, 24});
    const auto plain = model->forward(x);
    AttentionRecorder recorder(model->module());
    EXPECT_TRUE(at::equal(model->forward(x), plain)) << one.name;
    size_t gates = 0;
    for (const auto& item : model->module().named_modules()) {
      gates += item.key().ends_with(".se") || item.key().ends_with(".se_module") ? 1 : 0;
    }
    EXPECT_EQ(recorder.maps().size(), gates) << one.name;
    for (const auto& map : recorder.maps()) EXPECT_EQ(map.kind, MapKind::channel);
  }
}

TEST(Cnn, WithoutClassesThePooledFeaturesComeOut) {
  auto options = vgg(false);
  options.num_classes = 0;
  EXPECT_EQ(Vgg(options)->forward(at::zeros({1, 2, 28, 28})).sizes(), at::IntArrayRef({1, 16}));
  auto mobile = efficientnet(EfficientNetHead::pooled, false);
  mobile.num_classes = 0;
  EXPECT_EQ(EfficientNet(mobile)->forward(at::zeros({2, 2, 28, 28})).sizes(), at::IntArrayRef({2, 20}));
}

TEST(Cnn, VggGivesTheGridThatCaptionersRead) {
  const at::NoGradGuard no_grad;
  const SkipInit skip;
  const auto named = create_model("vgg16", {.num_classes = 0});
  auto& model = dynamic_cast<VggImpl&>(*named.model);
  for (auto& parameter : model.features->parameters()) parameter.fill_(1e-3);
  const auto grid = model.forward_grid(at::ones({1, 3, 224, 224}));
  EXPECT_EQ(grid.sizes(), at::IntArrayRef({1, 512, 14, 14}));
  EXPECT_TRUE(at::equal(at::max_pool2d(grid, 2, 2), model.forward_features(at::ones({1, 3, 224, 224}))));
}

TEST(Cnn, RefusesWhatDoesNotFit) {
  const auto usage = ErrorKind::usage;
  EXPECT_ERROR(ResNet({.block = ResNetBlock::basic, .depths = {1}, .widths = {8}, .groups = 2}), usage, "groups 2");
  EXPECT_ERROR(ResNet({.depths = {1}, .widths = {8}, .base_width = 0}), usage, "base_width 0");
  EXPECT_ERROR(ResNet({.depths = {1}, .widths = {8}, .stem = ResNetStem::deep, .stem_width = 12}), usage, "12");
  EXPECT_ERROR(Senet(SenetOptions{}), usage, "Senet: depths []");
  EXPECT_ERROR(Senet({.depths = {1}, .widths = {0}}), usage, "width 0");
  EXPECT_ERROR(Senet({.depths = {1}, .widths = {8}})->grid(2, 9), ErrorKind::data, "2×9");
  EXPECT_ERROR(EfficientNet(EfficientNetOptions{}), usage, "no stages");
  auto broken = efficientnet(EfficientNetHead::normed, false);
  broken.stages[1][1].in_channels = 13;
  EXPECT_ERROR(EfficientNet{broken}, usage, "stage 1 takes 13 channels, the one before it gives 12");
  broken.stages[1].clear();
  EXPECT_ERROR(EfficientNet{broken}, usage, "stage 1 has no blocks");
  EXPECT_ERROR(RegNet(RegNetOptions{}), usage, "RegNet: depths []");
  EXPECT_ERROR(RegNet({.depths = {1}, .widths = {12}}), usage, "multiple of 8");
  EXPECT_ERROR(Vgg({.depths = {1, 1}, .widths = {8}}), usage, "[1,1]");
  EXPECT_ERROR(Vgg(vgg(true))->grid(3, 9), ErrorKind::data, "smaller than 4×4");
}

// A plain network's weights start one with gates as the plain one, and the gates can learn.
TEST(Cnn, GatesStartAsIfTheyWereNotThere) {
  const auto x = at::randn({2, 2, 33, 28});
  for (const std::string slot : {"se", "eca", "ecam", "cbam", "cbam_channel", "cbam_parallel", "lcbam"}) {
    const Model plain =
        made({"plain", [] { return std::make_shared<ResNetImpl>(resnet(ResNetStem::deep, true, "")); }});
    at::manual_seed(2);
    const auto gated = std::make_shared<ResNetImpl>(resnet(ResNetStem::deep, true, slot));
    const StateDict checkpoint(named_weights(plain->module()));
    EXPECT_ERROR(load_weights(*gated, checkpoint, "plain"), ErrorKind::data, "missing");
    const auto before = plain->forward(x).detach();
    const auto report = load_weights(*gated, checkpoint, "plain", {.adapt = true});
    EXPECT_TRUE(report.missing.empty()) << slot;
    EXPECT_THAT(report.fresh, ::testing::Each(::testing::HasSubstr(".se."))) << slot;
    gated->eval();
    EXPECT_TRUE(at::equal(plain->forward(x), before)) << slot << ": the checkpoint itself was changed";
    EXPECT_LE(relative_error(gated->ImageModel::forward(x), before), 1e-6) << slot;
    gated->ImageModel::forward(x).pow(2).sum().backward();
    double learning = 0;
    for (const auto& item : gated->named_parameters()) {
      if (item.key().find(".se.") != std::string::npos) learning += item.value().grad().abs().sum().item<double>();
    }
    EXPECT_GT(learning, 0) << slot;
  }
}

// Only a gate that is missing as a whole may start: one that misses a tensor is broken.
TEST(Cnn, HalfAGateIsAnError) {
  const auto gated = std::make_shared<ResNetImpl>(resnet(ResNetStem::pooled, false, "se"));
  StateDict checkpoint;
  for (const NamedTensor& named : named_weights(*gated)) {
    if (named.name != "layer2.0.se.fc2.bias") checkpoint.add(named.name, named.tensor);
  }
  EXPECT_ERROR(load_weights(*gated, checkpoint, "half", {.adapt = true}), ErrorKind::data,
               "1 missing: layer2.0.se.fc2.bias");
}

TEST(Cnn, RowsHaveTheParameterCountsOfTimm) {
  const auto parameters = [](const std::string& name) {
    const SkipInit skip;
    int64_t sum = 0;
    for (const auto& parameter : create_model(name).model->module().parameters()) sum += parameter.numel();
    return sum;
  };
  // Printed by timm 1.0.31 itself.
  const std::vector<std::pair<std::string, int64_t>> published = {
      {"ecaresnet26t", 16'011'916},         {"ecaresnet50d", 25'576'350},
      {"ecaresnet269d", 102'093'077},       {"seresnext50_32x4d", 27'559'896},
      {"seresnext101d_32x8d", 93'588'280},  {"resnext101_64x4d", 83'455'272},
      {"wide_resnet50_2", 68'883'240},      {"legacy_seresnet18", 11'778'592},
      {"legacy_seresnet50", 28'088'024},    {"legacy_seresnext50_32x4d", 27'559'896},
      {"legacy_senet154", 115'088'984},     {"efficientnet_b0", 5'288'548},
      {"efficientnet_b1", 7'794'184},       {"efficientnet_b4", 19'341'616},
      {"tf_efficientnet_b2", 9'109'994},    {"mobilenetv3_large_100", 5'483'032},
      {"mobilenetv3_small_100", 2'542'856}, {"regnety_006", 6'055'160},
      {"regnety_016", 11'202'430},          {"regnety_032", 19'436'338},
  };
  for (const auto& [name, count] : published) EXPECT_EQ(parameters(name), count) << name;
}

}  // namespace
}  // namespace fovea::testing
