// Batches of a dataset as tensors: in random order and augmented for training, in order for evaluation.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/training/augment.h"
#include "fovea/vision/training/dataset.h"
#include "fovea/vision/training/order.h"

namespace fovea {

struct Batch {
  at::Tensor images;  // [B,3,h,w] float32, normalised, channels_last
  at::Tensor labels;  // [B] int64
};

// Examples of these indices, resized, cropped and normalised as `preprocess` does.
Batch make_batch(const Dataset& dataset, const std::vector<int64_t>& indices, const PreprocessOptions& options);

// Batches in the order of a TrainingOrder; what happens to a picture depends on seed, epoch and index.
class TrainingBatches {
 public:
  struct Options {
    int64_t batch_size = 0;
    uint64_t seed = 0;
    PreprocessOptions preprocess;
    AugmentOptions augment;  // of the picture at the size of the network's input
  };

  // `dataset` must outlive this. Throws Error(usage) for a batch size below 1 or above dataset.size().
  TrainingBatches(const Dataset& dataset, const Options& options);

  int64_t steps_per_epoch() const { return order_.steps_per_epoch(); }
  // Indices and tensors of a step, counted from 0 through all epochs.
  std::vector<int64_t> indices(int64_t step) { return order_.indices(step); }
  Batch get(int64_t step);

 private:
  const Dataset& dataset_;
  Options options_;
  TrainingOrder order_;
};

}  // namespace fovea
