#include "fovea/vision/training/recipe.h"

#include "fovea/modules/error.h"

namespace fovea {
namespace {

struct Row {
  const char* family;
  Recipe recipe;
};

const Row rows[] = {
    {"resnet",
     {.batch_size = 64,
      .learning_rate = 0.1,
      .average_decay = 0.999,
      .optimizer = {.kind = OptimizerKind::sgd, .weight_decay = 5e-4},
      .augment = {.flip = true, .shift = 1}}},
    {"vit",
     {.batch_size = 64,
      .clip_norm = 1,
      .average_decay = 0.999,
      .optimizer = {.kind = OptimizerKind::adamw, .weight_decay = 0.05},
      .augment = {.flip = true, .shift = 1}}},
    {"swin",
     {.batch_size = 64,
      .clip_norm = 1,
      .average_decay = 0.999,
      .optimizer = {.kind = OptimizerKind::adamw, .weight_decay = 0.05},
      .augment = {.flip = true, .shift = 1}}},
};

}  // namespace

Recipe default_recipe(const std::string& family) {
  for (const Row& row : rows) {
    if (family == row.family) return row.recipe;
  }
  fail(ErrorKind::usage, "train: no recipe for the family {}", family);
}

}  // namespace fovea
