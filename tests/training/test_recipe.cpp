#include "fovea/vision/training/recipe.h"

#include <gtest/gtest.h>

#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/models/registry.h"

namespace fovea {
namespace {

TEST(Recipe, EveryFamilyHasOne) {
  for (const ModelInfo& info : model_table()) {
    EXPECT_NO_THROW({
      const Recipe recipe = default_recipe(info.family);
      EXPECT_GT(recipe.learning_rate, 0) << info.family;
    }) << info.family;
  }
  EXPECT_ERROR(default_recipe("resnets"), ErrorKind::usage, "no recipe for the family resnets");
}

}  // namespace
}  // namespace fovea
