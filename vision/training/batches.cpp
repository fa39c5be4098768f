#include "fovea/vision/training/batches.h"

#include <ATen/ATen.h>

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
    : dataset_(dataset),
      options_(options),
      order_({.pictures = dataset.size(), .batch_size = options.batch_size, .seed = options.seed}) {
  check(options.augment);
}

Batch TrainingBatches::get(int64_t step) {
  PreprocessOptions normalise = options_.preprocess;  // of a picture that has the network's size already
  normalise.crop_pct = 1;
  std::vector<at::Tensor> images;
  std::vector<int64_t> labels;
  for (const int64_t index : indices(step)) {
    const Example example = dataset_.get(index);
    Image image = resize_and_crop(example.image, options_.preprocess);
    Random random(options_.seed, order_.showing(step, index) + (1ULL << 32));
    augment(image, options_.augment, random);
    images.push_back(preprocess(image, normalise));
    labels.push_back(example.label);
  }
  return stack(images, labels);
}

}  // namespace fovea
