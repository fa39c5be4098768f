#include "fovea/vision/models/resnet.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/tests/channel/oracle.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/vision/models/registry.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ResNetOptions small(const std::string& slot = "", ResNetBlock block = ResNetBlock::basic) {
  return {.block = block,
          .depths = {1, 2, 1},
          .widths = {8, 16, 24},
          .slot = slot,
          .stem = ResNetStem::plain,
          .stem_width = 8,
          .in_channels = 1,
          .num_classes = 10};
}

// Numbers away from their start, where every block is closed by a norm of weight 0.
void randomise(torch::nn::Module& model) {
  const at::NoGradGuard no_grad;
  at::manual_seed(7);
  for (auto& parameter : model.parameters()) {
    if (parameter.dim() == 1) parameter.uniform_(0.5, 1.5);
  }
  for (const auto& item : model.named_buffers()) {
    if (item.key().ends_with("running_mean")) item.value().normal_();
    if (item.key().ends_with("running_var")) item.value().uniform_(0.5, 2);
  }
}

TEST(ResNet, AnswersAtPlacesWhereThatIsAskedFor) {
  const at::NoGradGuard no_grad;
  auto options = small();
  options.at_places = true;
  ResNet model(options);
  model->to(at::kDouble);
  randomise(*model);
  model->eval();
  const auto x = at::randn({2, 1, 24, 40}, at::kDouble);
  const auto features = model->forward_features(x);
  const auto logits = model->forward(x);
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t c = 0; c < 10; ++c) {
      double most = -INFINITY;
      for (int64_t i = 0; i < features.size(2); ++i) {
        for (int64_t j = 0; j < features.size(3); ++j) {
          const auto at_place = features.index({b, at::indexing::Slice(), i, j});
          most = std::max(most, (model->fc->weight[c].dot(at_place) + model->fc->bias[c]).item<double>());
        }
      }
      EXPECT_NEAR(logits[b][c].item<double>(), most, 1e-12 * std::max(1.0, std::abs(most)));
    }
  }
  EXPECT_FALSE(at::allclose(logits, model->classify(model->pool(features))));
  options.num_classes = 0;
  EXPECT_EQ(ResNet(options)->forward(at::randn({2, 1, 24, 40})).sizes(), at::IntArrayRef({2, 24}));
}

TEST(ResNet, GridIsThatOfTheFeatures) {
  const at::NoGradGuard no_grad;
  for (const auto stem : {ResNetStem::pooled, ResNetStem::halved, ResNetStem::plain}) {
    auto options = small();
    options.stem = stem;
    ResNet model(options);
    model->eval();
    for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {28, 28}, {33, 17}, {64, 45}}) {
      const auto features = model->forward_features(at::randn({1, 1, h, w}));
      const auto grid = model->grid(h, w);
      EXPECT_EQ(features.sizes(), at::IntArrayRef({1, 24, grid.height, grid.width})) << h << "×" << w;
      EXPECT_EQ(grid.prefix, 0);
    }
  }
  EXPECT_THAT(error_of([] { ResNet(small())->grid(0, 5); }), StartsWith("3: "));
}

TEST(ResNet, LogitsArePooledFeaturesThroughTheClassifier) {
  ResNet model(small("se", ResNetBlock::bottleneck));
  model->eval();
  const auto x = at::randn({2, 1, 12, 9});
  const auto features = model->forward_features(x);
  EXPECT_EQ(features.size(1), 4 * 24);
  const auto pooled = model->pool(features);
  EXPECT_LE(relative_error(pooled, features.to(at::kDouble).flatten(2).mean(2)), 1e-6);
  EXPECT_TRUE(at::equal(model->classify(pooled), model->forward(x)));
  auto options = small();
  options.num_classes = 0;
  EXPECT_EQ(ResNet(options)->forward(x).sizes(), at::IntArrayRef({2, 24}));
}

TEST(ResNet, BlocksStartAsTheIdentity) {
  ResidualBlockImpl block({.block = ResNetBlock::bottleneck, .in_channels = 32, .width = 8, .slot = "cbam"});
  const auto x = at::randn({2, 32, 5, 5});
  EXPECT_TRUE(at::equal(block.forward(x), at::relu(x)));
}

TEST(ResNet, TheSlotStandsBeforeTheSum) {
  at::manual_seed(3);
  ResidualBlockImpl block({.block = ResNetBlock::basic, .in_channels = 8, .width = 8, .slot = "se"});
  randomise(block);
  block.eval();
  const auto x = at::randn({1, 8, 6, 6});
  auto y = at::relu(block.steps[0].bn->forward(block.steps[0].conv->forward(x)));
  y = block.steps[1].bn->forward(block.steps[1].conv->forward(y));
  EXPECT_LE(relative_error(block.forward(x), at::relu(block.se.forward(y) + x)), 1e-6);
}

TEST(ResNet, RefusesWhatDoesNotFit) {
  EXPECT_THAT(error_of([] { ResNet(ResNetOptions{}); }), StartsWith("2: ResNet: depths []"));
  EXPECT_THAT(error_of([] { ResNet({.depths = {1, 1}, .widths = {8}}); }), AllOf(HasSubstr("[1,1]"), HasSubstr("[8]")));
  EXPECT_THAT(error_of([] { ResNet({.depths = {0}, .widths = {8}}); }), HasSubstr("stage 1"));
  EXPECT_THAT(error_of([] { ResNet({.depths = {1}, .widths = {8}, .num_classes = -1}); }), HasSubstr("num_classes -1"));
  EXPECT_THAT(error_of([] { ResNet({.depths = {1}, .widths = {8}, .slot = "nonesuch"}); }),
              AllOf(StartsWith("2: "), HasSubstr("nonesuch"), HasSubstr("cbam")));
  ResNet model(small());
  EXPECT_THAT(error_of([&] {
                model->forward(at::zeros({2, 3, 8, 8}));
              }),
              AllOf(StartsWith("3: "), HasSubstr("[B,1,h,w]"), HasSubstr("[2,3,8,8]")));
  EXPECT_THAT(error_of([&] { model->forward(at::zeros({1, 8, 8})); }), HasSubstr("[1,8,8]"));
  EXPECT_THAT(error_of([&] { model->forward(at::zeros({1, 1, 0, 8})); }), HasSubstr("0×8"));
}

TEST(ResNet, AnEmptyBatchGivesNoLogits) {
  ResNet model(small("cbam"));
  model->eval();
  EXPECT_EQ(model->forward(at::zeros({0, 1, 8, 8})).sizes(), at::IntArrayRef({0, 10}));
}

TEST(ResNet, PreparedModelsGiveTheSame) {
  for (const std::string slot : {"", "se", "cbam"}) {
    for (const auto block : {ResNetBlock::basic, ResNetBlock::bottleneck}) {
      ResNet model(small(slot, block));
      randomise(*model);
      model->eval();
      const at::NoGradGuard no_grad;
      const auto x = at::randn({2, 1, 14, 11});
      const auto plain = model->forward(x);
      prepare_for_inference(*model);
      EXPECT_LE(relative_error(model->forward(x), plain), 1e-5) << slot;
      model->train();
      model->eval();
      EXPECT_TRUE(at::equal(model->forward(x), plain)) << slot;
    }
  }
}

TEST(ResNet, RecordsEverySlotAndNothingChanges) {
  ResNet model(small("cbam"));
  randomise(*model);
  model->eval();
  for (const bool prepared : {false, true}) {
    const at::NoGradGuard no_grad;
    if (prepared) prepare_for_inference(*model);
    const auto x = at::randn({1, 1, 28, 20});
    const auto plain = model->forward(x);
    AttentionRecorder recorder(*model, {.layers = R"(layer[23]\.\d\.se\.(channel|spatial))"});
    EXPECT_TRUE(at::equal(model->forward(x), plain));
    std::vector<std::string> paths;
    for (const auto& map : recorder.maps()) paths.push_back(map.path);
    EXPECT_THAT(paths, ::testing::ElementsAre("layer2.0.se.channel", "layer2.0.se.spatial", "layer2.1.se.channel",
                                              "layer2.1.se.spatial", "layer3.0.se.channel", "layer3.0.se.spatial"));
    EXPECT_EQ(recorder.maps()[1].weights.sizes(), at::IntArrayRef({1, 1, 14, 10}));
    EXPECT_EQ(recorder.maps()[4].weights.sizes(), at::IntArrayRef({1, 24}));
  }
}

TEST(ResNet, ClonesAreTheirOwn) {
  ResNet model(small("cbam", ResNetBlock::bottleneck));
  randomise(*model);
  model->eval();
  const auto x = at::randn({1, 1, 9, 9});
  const auto before = model->forward(x).detach();
  const auto copy = std::dynamic_pointer_cast<ResNetImpl>(model->clone());
  {
    const at::NoGradGuard no_grad;
    for (auto& parameter : model->parameters()) parameter.zero_();
  }
  EXPECT_TRUE(at::equal(copy->forward(x), before));
  // Its parameters are those that it runs.
  for (const std::string name : {"bn1.bias", "layer2.1.bn2.bias", "layer2.1.se.channel.fc2.weight", "fc.bias"}) {
    const auto last = copy->forward(x).detach();
    const at::NoGradGuard no_grad;
    copy->named_parameters()[name].add_(1);
    EXPECT_FALSE(at::equal(copy->forward(x), last)) << name;
  }
}

TEST(ResNet, RunsInBfloat16) {
  ResNet model(small("cbam"));
  randomise(*model);
  model->eval();
  const auto x = at::randn({2, 1, 16, 16});
  const auto plain = model->forward(x);
  model->to(at::kBFloat16);
  const auto narrow = model->forward(x.to(at::kBFloat16));
  EXPECT_EQ(narrow.scalar_type(), at::kBFloat16);
  EXPECT_LE(relative_error(narrow, plain), 0.05);
  EXPECT_EQ(model->stem.bn->num_batches_tracked.scalar_type(), at::kLong);
}

TEST(ResNet, LearnsABatchByHeart) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);  // for 60 steps of this size, waiting for another thread costs more than it brings
  for (const std::string slot : {"se", "cbam"}) {
    at::manual_seed(1);
    auto options = small(slot);
    options.depths = {1, 1};
    options.widths = {16, 32};
    ResNet model(options);
    const auto x = at::randn({8, 1, 6, 6});
    const auto labels = at::arange(8);
    double loss = 0;
    for (int step = 0; step < 60; ++step) {
      model->zero_grad();
      const auto error = at::cross_entropy_loss(model->forward(x), labels);
      error.backward();
      loss = error.item<double>();
      const at::NoGradGuard no_grad;
      for (auto& parameter : model->parameters()) parameter.sub_(parameter.grad(), 0.2);
    }
    EXPECT_LE(loss, 0.5) << slot;  // it starts at ln 10
  }
  at::set_num_threads(threads);
}

// The weights of a network without slot fill one with a slot, which keeps its own start.
TEST(ResNet, PlainWeightsFillABackboneWithASlot) {
  ResNet plain(small()), with_slot(small("se"));
  randomise(*plain);
  const auto start = with_slot->stages[1]->blocks[0]->se.ptr()->parameters()[0].detach().clone();
  const StateDict checkpoint(named_weights(*plain));
  EXPECT_THAT(error_of([&] { load_weights(*with_slot, checkpoint, "plain"); }), HasSubstr("layer1.0.se.fc1.weight"));
  const auto report = load_weights(*with_slot, checkpoint, "plain", {.allow_missing = true});
  EXPECT_EQ(report.missing.size(), 4 * 4);  // four blocks, four tensors
  EXPECT_TRUE(at::equal(with_slot->fc->weight, plain->fc->weight));
  EXPECT_TRUE(at::equal(with_slot->stages[1]->blocks[0]->se.ptr()->parameters()[0], start));
}

TEST(ResNet, ACheckpointBringsTheBiasesOfItsGates) {
  ResNet model(small("cbam"));
  randomise(*model);
  auto tensors = named_weights(*model);
  for (const auto& item : model->named_modules()) {
    if (!item.key().ends_with(".channel.fc1") && !item.key().ends_with(".channel.fc2")) continue;
    tensors.push_back({item.key() + ".bias", at::randn({item.value()->parameters()[0].size(0)})});
  }
  ResNet biased(small("cbam"));
  const auto report = load_weights(*biased, StateDict(tensors), "biased");
  EXPECT_EQ(report.unexpected.size(), 0);
  biased->eval();
  model->eval();
  const auto x = at::randn({1, 1, 8, 8});
  EXPECT_GT(relative_error(biased->forward(x), model->forward(x)), 1e-3);
  EXPECT_EQ(biased->named_parameters().size(), model->named_parameters().size() + 4 * 2);
  const auto copy = std::dynamic_pointer_cast<ResNetImpl>(biased->clone());
  EXPECT_TRUE(at::equal(copy->forward(x), biased->forward(x)));
}

// Multiply-adds of one forward pass, read off the operators as they run: a product counts one, and so does each
// element that a mean adds.
thread_local double multiply_adds = 0;

std::unique_ptr<at::ObserverContext> count(const at::RecordFunction& call) {
  const std::string name = call.name();
  const auto inputs = call.inputs();
  if (name == "aten::convolution") {
    const auto x = inputs[0].toTensor(), weight = inputs[1].toTensor();
    // One number where both sides have the same.
    const int64_t stride = inputs[3].toIntVector()[0], padding = inputs[4].toIntVector()[0];
    const auto along = [&](int64_t side) { return (x.size(side) + 2 * padding - weight.size(side)) / stride + 1; };
    const auto pixels = static_cast<double>(x.size(0) * along(2) * along(3));
    multiply_adds += pixels * static_cast<double>(weight.numel());
  } else if (name == "aten::linear") {
    const auto x = inputs[0].toTensor(), weight = inputs[1].toTensor();
    multiply_adds += static_cast<double>(x.numel() / x.size(-1) * weight.numel());
  } else if (name == "aten::mul" || name == "aten::mean" || name == "aten::add_") {
    multiply_adds += static_cast<double>(inputs[0].toTensor().numel());
  }
  return nullptr;
}

// Gates run on the formula where they are recorded differentiably; their kernel would not be seen here.
double counted(const std::string& name, bool gates) {
  const auto model = create_model(name).model;
  model->module().eval();
  std::optional<AttentionRecorder> recorder;
  if (gates) recorder.emplace(model->module(), RecorderOptions{.differentiable = true});
  multiply_adds = 0;
  const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback(count).needsInputs(true));
  model->forward(at::zeros({1, 3, 224, 224}));
  at::removeCallback(handle);
  return multiply_adds;
}

TEST(ResNet, SqueezeExciteAddsUnderOnePercentOfTheWork) {
  const double plain = counted("resnet50", false), squeezed = counted("seresnet50", true);
  EXPECT_NEAR(plain, 4.1e9, 0.05e9);
  EXPECT_GT(squeezed, 1.002 * plain);
  EXPECT_LE(squeezed, 1.01 * plain);
}

TEST(ResNet, RowsHaveTheParameterCountsOfTimm) {
  const auto parameters = [](const std::string& name) {
    const SkipInit skip;
    int64_t sum = 0;
    for (const auto& parameter : create_model(name).model->module().parameters()) sum += parameter.numel();
    return sum;
  };
  EXPECT_EQ(parameters("resnet18"), 11'689'512);
  EXPECT_EQ(parameters("resnet50"), 25'557'032);
  EXPECT_EQ(parameters("resnet152"), 60'192'808);
  EXPECT_EQ(parameters("seresnet18"), 11'779'624);
  EXPECT_EQ(parameters("seresnet50"), 28'088'024);
  EXPECT_EQ(parameters("cbamresnet50"), 28'073'576);
}

}  // namespace
}  // namespace fovea::testing
