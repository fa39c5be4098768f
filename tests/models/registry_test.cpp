#include "fovea/vision/models/registry.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "fovea/modules/inference/init.h"
#include "fovea/modules/nearest.h"
#include "fovea/tests/support/expect_error.h"

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
