#include "fovea/vision/models/registry.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "fovea/modules/inference/init.h"
#include "fovea/modules/nearest.h"
#include "fovea/modules/weights/layout.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/models/published.h"

namespace fovea::testing {
namespace {

TEST(Nearest, CountsEdits) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("flaw", "lawn"), 2);
  EXPECT_EQ(edit_distance("same", "same"), 0);
}

TEST(Nearest, GivesTheClosestWord) {
  EXPECT_EQ(nearest("swim_tiny", {"vit_tiny", "swin_tiny", "swin_base"}), "swin_tiny");
  EXPECT_EQ(nearest("x", {"ab", "cd"}), "ab");
  EXPECT_EQ(nearest("x", {}), "");
}

TEST(Registry, NamesAreUnique) {
  std::set<std::string> names;
  for (const ModelInfo& info : model_table()) EXPECT_TRUE(names.insert(info.name).second) << info.name;
  EXPECT_FALSE(names.empty());
}

TEST(Registry, MakesEveryModelItLists) {
  const SkipInit skip;
  for (const ModelInfo& info : model_table()) {
    const auto made = create_model(info.name, {.num_classes = 3, .in_channels = 1});
    EXPECT_EQ(made.info.name, info.name);
    EXPECT_EQ(made.info.num_classes, 3);
    EXPECT_EQ(made.info.family, info.family);
    const auto grid = made.model->grid(info.preprocess.height, info.preprocess.width);
    EXPECT_GT(grid.height * grid.width, 0);
    EXPECT_FALSE(made.model->module().parameters().empty());
  }
}

TEST(Published, ParametersAreThoseOfTheNetwork) {
  const SkipInit skip;
  for (const ModelInfo& info : model_table()) {
    int64_t count = 0;
    for (const auto& parameter : create_model(info.name).model->module().parameters()) count += parameter.numel();
    EXPECT_EQ(facts_of(info.name).parameters, count) << info.name;
    EXPECT_GT(facts_of(info.name).multiply_adds, 0) << info.name;
  }
  EXPECT_ERROR(facts_of("resnet51"), ErrorKind::internal, "nothing is known of resnet51");
}

// Keys and shapes written in a layout are detected as that layout and read back.
TEST(Published, EveryLayoutIsOneOfTheNetwork) {
  const SkipInit skip;
  for (const ModelInfo& info : model_table()) {
    constexpr int64_t most = 100'000'000;  // parameters; larger networks have smaller siblings in every layout
    if (source_layouts(info.name).size() == 1 || facts_of(info.name).parameters > most) continue;
    const StateDict ours(named_weights(create_model(info.name).model->module()));
    for (const std::string& name : source_layouts(info.name)) {
      if (name == "timm") continue;
      StateDict theirs = write_layout(ours, find_layout(name));
      if (name == "dinov2") theirs.add("mask_token", at::zeros({1, 1}));  // of its training alone
      const MappedState read = apply_layout(theirs);
      EXPECT_EQ(read.layout->name, name) << info.name;
      EXPECT_EQ(read.weights.size(), ours.size()) << info.name << " in " << name;
      for (const NamedTensor& named : read.weights) {
        const at::Tensor* place = ours.find(named.name);
        ASSERT_NE(place, nullptr) << info.name << " in " << name << ": " << named.name;
        EXPECT_EQ(named.tensor.sizes(), place->sizes()) << info.name << " in " << name << ": " << named.name;
      }
    }
  }
}

TEST(Published, TagsDecidePreprocessingAndClasses) {
  const ModelInfo plain = model_info("vit_base_patch16_clip_224"),
                  tagged = model_info("vit_base_patch16_clip_224.openai");
  EXPECT_EQ(tagged.name, plain.name);
  EXPECT_EQ(tagged.num_classes, 512);
  EXPECT_NE(tagged.preprocess.crop_pct, plain.preprocess.crop_pct);
  EXPECT_ERROR(model_info("vit_base_patch16_clip_224.openay"), ErrorKind::usage,
               "the nearest name is vit_base_patch16_clip_224.openai");
  EXPECT_ERROR(model_info("swin_t.in1k"), ErrorKind::usage, "no weights of swin_t have a tag");
}

TEST(Registry, ArgumentsReachTheModelAndItsInfo) {
  const at::NoGradGuard no_grad;
  const auto made = create_model("vit_tiny_patch16_224", {.num_classes = 4, .in_channels = 1, .image_size = 32});
  EXPECT_EQ(made.info.preprocess.height, 32);
  EXPECT_EQ(made.info.preprocess.width, 32);
  EXPECT_EQ(made.model->module().named_parameters()["pos_embed"].size(1), 5);
  EXPECT_EQ(made.model->forward(at::randn({1, 1, 32, 32})).sizes(), at::IntArrayRef({1, 4}));
}

TEST(Registry, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(create_model("vit_tiny_patch16_22"), ErrorKind::usage, "nearest name is vit_tiny_patch16_224");
  EXPECT_ERROR(create_model(""), ErrorKind::usage, "unknown model \"\"");
  EXPECT_ERROR(create_model("vit\n"), ErrorKind::usage, R"("vit\x0a")");
  const std::string name = "vit_tiny_patch16_224";
  EXPECT_ERROR(create_model(name, {.num_classes = -1}), ErrorKind::usage, "num_classes -1");
  EXPECT_ERROR(create_model(name, {.in_channels = 0}), ErrorKind::usage, "in_channels 0");
  EXPECT_ERROR(create_model(name, {.image_size = 0}), ErrorKind::usage, "image_size 0");
  EXPECT_ERROR(create_model(name, {.image_size = 100}), ErrorKind::usage, "image_size 100 is not a multiple");
}

}  // namespace
}  // namespace fovea::testing
