// Accuracy of a classifier on a dataset.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/models/model.h"
#include "fovea/vision/training/dataset.h"

namespace fovea {

struct Accuracy {
  int64_t correct = 0;
  int64_t total = 0;
  double percent() const { return 100.0 * static_cast<double>(correct) / static_cast<double>(total); }
};

// Share of the examples whose largest logit is that of their label, in evaluation mode, on the model's device; the
// model's mode is put back afterwards. Throws Error(data) where dataset and model disagree about the classes, and
// Error(numeric) for logits that are not finite.
Accuracy evaluate(ImageModel& model, const Dataset& dataset, const PreprocessOptions& preprocess,
                  int64_t batch_size = 250);

}  // namespace fovea
