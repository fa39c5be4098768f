// Training classifiers of pictures with several things.
#pragma once

#include <string>

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/models/model.h"
#include "fovea/vision/training/dataset.h"
#include "fovea/vision/training/run.h"

namespace fovea {

struct MultiLabelData {
  const ThingsDataset& train;
  const ThingsDataset* test = nullptr;  // measured after every epoch where given
};

struct MultiLabelOptions {
  RunOptions run;     // its recipe's label smoothing, teacher and augmentation are not used
  std::string model;  // name, part of the record that a resumed run must agree with, as the next
  std::string data;
  PreprocessOptions preprocess;
  double place_share = 1;  // of label_loss
};

// The loss is label_loss; the figure `test_map` is mean_average_precision on the test pictures. Throws as run_training
// and label_loss do, and Error(usage) for a share that is negative.
RunResult train_multi_label(ImageModel& model, const MultiLabelData& data, const MultiLabelOptions& options,
                            const RunCallbacks& callbacks = {});

// mean_average_precision of the model's logits, in evaluation mode, on the model's device; its mode is put back.
double evaluate_labels(ImageModel& model, const ThingsDataset& data, const PreprocessOptions& preprocess,
                       int64_t batch_size = 50);

}  // namespace fovea
