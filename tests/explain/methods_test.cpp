#include "fovea/vision/explain/methods.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/modules/inference/prepare.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/explain/faithfulness.h"
#include "fovea/vision/explain/occlusion.h"
#include "fovea/vision/models/registry.h"

namespace fovea {
namespace {

// Counts how often the network runs.
class Counted : public ImageModel {
 public:
  explicit Counted(ImageModel& model) : model_(model) {}
  at::Tensor forward_features(const at::Tensor& x) override {
    ++passes;
    return model_.forward_features(x);
  }
  at::Tensor pool(const at::Tensor& features) override { return model_.pool(features); }
  at::Tensor classify(const at::Tensor& pooled) override { return model_.classify(pooled); }
  at::Tensor logits(const at::Tensor& features) override { return model_.logits(features); }
  TokenGrid grid(int64_t height, int64_t width) const override { return model_.grid(height, width); }
  torch::nn::Module& module() override { return model_.module(); }
  int64_t passes = 0;

 private:
  ImageModel& model_;
};

class ExplainAll : public testing::TestWithParam<const char*> {};

TEST_P(ExplainAll, SaysInOnePassWhatEachMethodSaysInItsOwn) {
  at::manual_seed(3);
  const NamedModel named = create_model(GetParam(), {.num_classes = 5});
  named.model->module().eval();
  const auto x = at::randn({1, 3, 64, 64});
  std::vector<ExplainMethod> methods = methods_for(*named.model, 64, 64);
  EXPECT_EQ(std::erase_if(methods, [](const auto& method) { return method.many_passes; }), 1u);
  ASSERT_GT(methods.size(), 3u);
  for (const std::optional<int64_t> target : {std::optional<int64_t>(), std::optional<int64_t>(4)}) {
    Counted model(*named.model);
    const Explanations all = explain_all(model, x, methods, target);
    EXPECT_EQ(model.passes, 1);
    ASSERT_EQ(all.heats.size(), methods.size());
    for (size_t i = 0; i < methods.size(); ++i) {
      const auto asked = methods[i].target ? target : std::nullopt;
      const Explanation alone = explain(*named.model, x, {.method = methods[i].name, .target = asked});
      EXPECT_EQ(describe(all.heats[i]), describe(alone.heat));
      const auto difference = (all.heats[i].values - alone.heat.values).abs().max().item<double>();
      EXPECT_LE(difference, 1e-5 * alone.heat.values.abs().max().item<double>()) << methods[i].name;
      EXPECT_LE((all.evidence.logits[0] - alone.logits).abs().max().item<double>(), 1e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ExplainAll,
                         testing::Values("cbamresnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"),
                         [](const auto& family) { return std::string(family.param).substr(0, 4); });

// Each place of fovea_vit_scenes answers for itself, and the greatest answer counts.
TEST(Answer, ComesFromThePlaceWithTheGreatestLogit) {
  const NamedModel named = create_model("fovea_vit_scenes", {.num_classes = 5});
  named.model->module().eval();
  const auto x = at::randn({1, 3, 96, 64});
  const Evidence evidence = gather_evidence(*named.model, x, {.recorder = {.gradients = true}, .target = 2});
  const at::NoGradGuard no_grad;
  const auto answers = named.model->classify(evidence.outputs.back().value);  // [1,places,classes]
  const int64_t place = answers.select(-1, 2).argmax().item<int64_t>();
  EXPECT_EQ(evidence.answer().argmax().item<int64_t>(), place);
  EXPECT_EQ(evidence.answer().max().item<double>(), 1);
  for (const char* method : {"gradient-rollout", "relevance"}) {
    const auto heat = explain(*named.model, x, {.method = method, .target = 2}).heat;
    const auto of_place = explain(*named.model, x, {.method = method, .query = place, .target = 2}).heat;
    EXPECT_TRUE(at::allclose(heat.values, of_place.values, 1e-5, 1e-8)) << method;
    EXPECT_EQ(heat.detail.substr(heat.detail.size() - 16), "rows that answer");
  }
}

TEST(Answer, ComesFromAllPlacesAlikeBehindTheirMean) {
  const auto answer = [](const char* name, const RecorderOptions& recorder) {
    const NamedModel named = create_model(name, {.num_classes = 5});
    named.model->module().eval();
    return gather_evidence(*named.model, at::randn({1, 3, 64, 64}), {.recorder = recorder}).answer();
  };
  const auto even = answer("swin_tiny_patch4_window7_224", {.gradients = true});
  EXPECT_TRUE(at::allclose(even, at::full({4}, 0.25, at::kDouble), 1e-6, 0));
  EXPECT_FALSE(answer("swin_tiny_patch4_window7_224", {}).defined());
  EXPECT_FALSE(answer("vit_tiny_patch16_224", {.gradients = true}).defined());
}

TEST(ExplainAllAlone, NeitherGoesBackNorKeepsOutputsWithoutNeed) {
  const NamedModel named = create_model("cbamresnet18", {.num_classes = 5});
  named.model->module().eval();
  const auto x = at::randn({1, 3, 32, 32});
  for (const AttentionMap& map : explain_all(*named.model, x, {}).evidence.maps) EXPECT_FALSE(map.gradient.defined());
  EXPECT_ERROR(explain_all(*named.model, x, std::vector{ExplainMethod{.name = "x"}}), ErrorKind::usage,
               "unknown method x");
}

TEST(Occlusion, NeedsNothingButAnswers) {
  at::manual_seed(5);
  const NamedModel named = create_model("vit_tiny_patch16_224", {.num_classes = 5});
  named.model->module().eval();
  const auto x = at::randn({1, 3, 64, 64});
  Counted model(*named.model);
  const auto exact = occlusion(model, x, 2).values;
  EXPECT_EQ(model.passes, 1 + (5 * 5 + 15) / 16);  // windows of 2×2 cells over 4×4, 16 at once
  quantise_weights(named.model->module());
  const auto rounded = explain(*named.model, x, {.method = "occlusion", .target = 2}).heat.values;
  EXPECT_GE(agreement(exact, rounded), 0.8);
  EXPECT_ERROR(occlusion(*named.model, x, 5), ErrorKind::usage, "class 5: the model has classes 0…4");
  EXPECT_ERROR(occlusion(*named.model, x, 2, {.window = 0}), ErrorKind::usage, "window 0");
}

TEST(Occlusion, OfOneCellIsWhatTheLogitLosesWithoutIt) {
  at::manual_seed(6);
  const NamedModel named = create_model("vit_tiny_patch16_224", {.num_classes = 5});
  named.model->module().eval();
  const at::NoGradGuard no_grad;
  const auto x = at::randn({1, 3, 48, 64});
  const auto hidden = x.clone();
  hidden.narrow(2, 16, 16).narrow(3, 32, 16).zero_();
  const auto lost = named.model->forward(x) - named.model->forward(hidden);
  const int64_t target = lost.argmax().item<int64_t>();
  const auto heat = occlusion(*named.model, x, target, {.window = 1}).values;
  EXPECT_NEAR(heat[1][2].item<double>(), lost[0][target].item<double>(), 1e-5);
}

}  // namespace
}  // namespace fovea
