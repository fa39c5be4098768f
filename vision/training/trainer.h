// Training classifiers of pictures with one label each.
//
//     at::manual_seed(seed);                                      // the start of the weights
//     auto [info, model] = create_model("resnet18", {.num_classes = 10});
//     const TrainResult result = train_classifier(*model, {.train = train, .test = &test},
//                                                 {.run = {.output = "run", .recipe = default_recipe(info.family)},
//                                                 …});
#pragma once

#include <optional>
#include <string>

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/models/model.h"
#include "fovea/vision/training/dataset.h"
#include "fovea/vision/training/evaluate.h"
#include "fovea/vision/training/run.h"

namespace fovea {

struct TrainData {
  const Dataset& train;
  const Dataset* test = nullptr;  // measured after every epoch where given
};

struct TrainOptions {
  RunOptions run;     // its seed also decides order and augmentation
  std::string model;  // name, part of the record that a resumed run must agree with
  PreprocessOptions preprocess;
  ImageModel* teacher = nullptr;  // whose answers to the same pictures are learned too; put into evaluation mode
  std::string teacher_name;       // part of the record, as `model`
};

struct EpochReport {
  int64_t epoch = 0;  // from 1
  int64_t epochs = 0;
  double train_loss = 0;         // mean over the epoch's steps
  std::optional<Accuracy> test;  // of the averaged weights
};

struct TrainCallbacks {
  std::function<void(const StepReport&)> on_step;
  std::function<void(const EpochReport&)> on_epoch;
};

struct TrainResult {
  int64_t steps = 0;             // done, earlier runs included
  bool interrupted = false;      // by options.stop; the state is saved
  std::optional<Accuracy> test;  // after the last epoch
};

// The loss is the cross entropy with the smoothed labels or, with a teacher, (1 − share)·that + share·the cross entropy
// with the teacher's softmax. Hinton et al., Distilling the Knowledge in a Neural Network, 2015,
// https://arxiv.org/abs/1503.02531
//
// The run is that of run_training (run.h), which says what it writes and throws. Throws also Error(usage) for options
// that cannot work and Error(data) for labels that the model has no class for.
TrainResult train_classifier(ImageModel& model, const TrainData& data, const TrainOptions& options,
                             const TrainCallbacks& callbacks = {});

}  // namespace fovea
