// The training loop of classifiers: saved state, exact resume, and progress by callback.
//
//     at::manual_seed(seed);                                      // the start of the weights
//     auto [info, model] = create_model("resnet18", {.num_classes = 10});
//     const TrainResult result = train_classifier(*model, {.train = train, .test = &test},
//                                                 {.output = "run", .recipe = default_recipe(info.family), …});
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/models/model.h"
#include "fovea/vision/training/dataset.h"
#include "fovea/vision/training/evaluate.h"
#include "fovea/vision/training/recipe.h"

namespace fovea {

struct TrainData {
  const Dataset& train;
  const Dataset* test = nullptr;  // measured after every epoch where given
};

struct TrainOptions {
  std::filesystem::path output;  // folder, made where it is missing
  std::string model;             // name, part of the record that a resumed run must agree with
  Recipe recipe;
  PreprocessOptions preprocess;
  ImageModel* teacher = nullptr;  // whose answers to the same pictures are learned too; put into evaluation mode
  std::string teacher_name;       // part of the record, as `model`
  uint64_t seed = 0;              // order, augmentation and dropout
  int64_t save_every = 0;         // steps; 0: once an epoch. The state is saved after each epoch in any case
  bool resume = false;            // go on from the state in `output`; from the start where there is none
  bool force = false;             // replace an earlier run in `output`
  const std::atomic<bool>* stop = nullptr;  // set by a signal handler: save and return after the running step
};

struct StepReport {
  int64_t step = 0;  // 1 … total_steps
  int64_t total_steps = 0;
  int64_t epoch = 0;  // from 1
  double loss = 0;
  double learning_rate = 0;
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
// Writes into `output`: model.safetensors (the averaged weights), state.0/1.safetensors (what a resumed run needs) and
// log.csv (a line an epoch). Everything random is a function of seed and step, so that a resumed run ends with the same
// bytes as an uninterrupted one with as many threads. The model is left with the averaged weights, in evaluation mode.
//
// Throws Error(usage) for options that cannot work or differ from those of the run that is resumed, and for an earlier
// run in `output` without resume or force; Error(data) for labels that the model has no class for, or for a damaged
// state; Error(io) for a folder that cannot be written or is in use; Error(numeric) naming the step whose loss or
// gradients are not finite: the last saved state is then that of an earlier step.
TrainResult train_classifier(ImageModel& model, const TrainData& data, const TrainOptions& options,
                             const TrainCallbacks& callbacks = {});

}  // namespace fovea
