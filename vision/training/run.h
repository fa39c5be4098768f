// The training loop of any task: schedule, optimizer, average of the weights, saved state and exact resume.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <vector>

#include "fovea/vision/training/recipe.h"
#include "fovea/vision/training/task.h"

namespace fovea {

struct RunOptions {
  std::filesystem::path output;  // folder, made where it is missing
  Recipe recipe;
  uint64_t seed = 0;                        // of dropout and the like; a task takes its own from the same number
  int64_t save_every = 0;                   // steps; 0: once an epoch. The state is saved after each epoch in any case
  bool resume = false;                      // go on from the state in `output`; from the start where there is none
  bool force = false;                       // replace an earlier run in `output`
  const std::atomic<bool>* stop = nullptr;  // set by a signal handler: save and return after the running step
  bool recompute = false;                   // blocks of transformers run again in backward: same bits, less memory
};

struct StepReport {
  int64_t step = 0;  // 1 … total_steps
  int64_t total_steps = 0;
  int64_t epoch = 0;  // from 1
  double loss = 0;
  double learning_rate = 0;
};

struct RunEpoch {
  int64_t epoch = 0;  // from 1
  int64_t epochs = 0;
  double train_loss = 0;        // mean over the epoch's steps
  std::vector<double> figures;  // of the averaged weights, as TrainingTask::measure gives them
};

struct RunCallbacks {
  std::function<void(const StepReport&)> on_step;
  std::function<void(const RunEpoch&)> on_epoch;
};

struct RunResult {
  int64_t steps = 0;            // done, earlier runs included
  bool interrupted = false;     // by options.stop; the state is saved
  std::vector<double> figures;  // after the last epoch
};

// Writes into `output`: model.safetensors (the averaged weights), state.0/1.safetensors (what a resumed run needs) and
// log.csv (a line an epoch). Everything random is a function of seed and step, so that a resumed run ends with the same
// bytes as an uninterrupted one with as many threads. The module is left with the averaged weights, in evaluation mode.
//
// Throws Error(usage) for a recipe that cannot work or settings that differ from those of the run that is resumed, and
// for an earlier run in `output` without resume or force; Error(data) for a damaged state; Error(io) for a folder that
// cannot be written or is in use; Error(numeric) naming the step whose loss or gradients are not finite: the last saved
// state is then that of an earlier step.
RunResult run_training(TrainingTask& task, const RunOptions& options, const RunCallbacks& callbacks = {});

}  // namespace fovea
