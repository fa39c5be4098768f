#include "fovea/vision/training/batches.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

Batch stack(const std::vector<at::Tensor>& images, const std::vector<int64_t>& labels) {
  return {at::stack(images).contiguous(at::MemoryFormat::ChannelsLast), at::tensor(labels, at::kLong)};
}

}  // namespace

Batch make_batch(const Dataset& dataset, const std::vector<int64_t>& indices, const PreprocessOptions& options) {
  std::vector<at::Tensor> images;
  std::vector<int64_t> labels;
  for (const int64_t index : indices) {
    const Example example = dataset.get(index);
    images.push_back(preprocess(example.image, options));
    labels.push_back(example.label);
  }
  return stack(images, labels);
}

TrainingBatches::TrainingBatches(const Dataset& dataset, const Options& options)
    : dataset_(dataset), options_(options) {
  check(options.augment);
  require(options.batch_size >= 1 && options.batch_size <= dataset.size(), ErrorKind::usage,
          "train: batch size {} is not in 1 … {} (pictures)", options.batch_size, dataset.size());
  steps_ = (dataset.size() + options.batch_size - 1) / options.batch_size;
}

std::vector<int64_t> TrainingBatches::indices(int64_t step) {
  const int64_t epoch = step / steps_;
  if (epoch != epoch_) {
    Random random(options_.seed, static_cast<uint64_t>(epoch));
    order_ = permutation(dataset_.size(), random);
    epoch_ = epoch;
  }
  const int64_t position = step % steps_;
  const int64_t begin = dataset_.size() * position / steps_;
  const int64_t end = dataset_.size() * (position + 1) / steps_;
  return {order_.begin() + begin, order_.begin() + end};
}

Batch TrainingBatches::get(int64_t step) {
  PreprocessOptions normalise = options_.preprocess;  // of a picture that has the network's size already
  normalise.crop_pct = 1;
  std::vector<at::Tensor> images;
  std::vector<int64_t> labels;
  for (const int64_t index : indices(step)) {
    const Example example = dataset_.get(index);
    Image image = resize_and_crop(example.image, options_.preprocess);
    Random random(options_.seed, static_cast<uint64_t>(epoch_ * dataset_.size() + index) + (1ULL << 32));
    augment(image, options_.augment, random);
    images.push_back(preprocess(image, normalise));
    labels.push_back(example.label);
  }
  return stack(images, labels);
}

}  // namespace fovea
