#include "fovea/vision/training/recipe.h"

#include "fovea/modules/error.h"

namespace fovea {
namespace {

// Networks of convolutions take large steps by momentum; transformers small ones, each parameter at its own pace,
// within a norm.
const Recipe convolutional = {.batch_size = 64,
                              .learning_rate = 0.1,
                              .average_decay = 0.999,
                              .optimizer = {.kind = OptimizerKind::sgd, .weight_decay = 5e-4},
                              .augment = {.flip = true, .shift = 1}};
const Recipe transformer = {.batch_size = 64,
                            .clip_norm = 1,
                            .average_decay = 0.999,
                            .optimizer = {.kind = OptimizerKind::adamw, .weight_decay = 0.05},
                            .augment = {.flip = true, .shift = 1}};

// Without norms a rate of 0.1 is too much.
Recipe without_norms() {
  Recipe recipe = convolutional;
  recipe.learning_rate = 0.01;
  recipe.clip_norm = 1;
  return recipe;
}

// Classifiers of several things, and captioners: data is endless or told of in full, so that nothing is blurred.
Recipe several_things() {
  Recipe recipe = transformer;
  recipe.label_smoothing = 0;
  recipe.augment = {};
  return recipe;
}

// Rewards tell little of each step: Rennie et al., Self-critical Sequence Training for Image Captioning, 2017.
Recipe rewarded() {
  Recipe recipe = several_things();
  recipe.learning_rate = 1e-4;
  return recipe;
}

struct Row {
  const char* family;
  Recipe recipe;
};

const Row rows[] = {
    {"resnet", convolutional},       {"senet", convolutional},
    {"efficientnet", convolutional}, {"mobilenetv3", convolutional},
    {"regnet", convolutional},       {"vgg", without_norms()},
    {"inception", convolutional},    {"vit", transformer},
    {"swin", transformer},           {"maxvit", transformer},
    {"cait", transformer},           {"things", several_things()},
    {"captioner", several_things()}, {"rewarded captioner", rewarded()},
    {"pixels", transformer},
};

}  // namespace

Recipe default_recipe(const std::string& family) {
  for (const Row& row : rows) {
    if (family == row.family) return row.recipe;
  }
  fail(ErrorKind::usage, "train: no recipe for the family {}", family);
}

}  // namespace fovea
