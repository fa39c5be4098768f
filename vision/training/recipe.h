// How each family of models is trained unless told otherwise.
#pragma once

#include <string>

#include "fovea/vision/training/augment.h"
#include "fovea/vision/training/optimizer.h"

namespace fovea {

struct Recipe {
  int64_t epochs = 10;
  int64_t batch_size = 128;
  double learning_rate = 1e-3;  // at the end of the warm-up
  double warmup_epochs = 1;
  double label_smoothing = 0.1;  // share of the target spread over all classes
  double teacher_share = 0.8;    // of the loss, where there is a teacher
  double clip_norm = 0;          // largest norm of the gradients; 0: no limit
  double average_decay = 0;      // of the running average of the weights, which is what is saved; 0: none
  OptimizerOptions optimizer;
  AugmentOptions augment;
};

// `family` is ModelInfo::family of a classifier of one label, "things" for one of several, "captioner". Throws
// Error(usage) for a family without a recipe.
Recipe default_recipe(const std::string& family);

}  // namespace fovea
