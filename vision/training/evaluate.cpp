#include "fovea/vision/training/evaluate.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>

#include "fovea/modules/error.h"
#include "fovea/vision/training/batches.h"

namespace fovea {

Accuracy evaluate(ImageModel& model, const Dataset& dataset, const PreprocessOptions& preprocess, int64_t batch_size) {
  const c10::InferenceMode inference;
  torch::nn::Module& module = model.module();
  const bool training = module.is_training();
  const auto parameters = module.parameters();
  const at::Device device = parameters.empty() ? at::Device(at::kCPU) : parameters.front().device();
  module.eval();
  Accuracy accuracy;
  for (int64_t begin = 0; begin < dataset.size(); begin += batch_size) {
    std::vector<int64_t> indices(std::min(batch_size, dataset.size() - begin));
    std::iota(indices.begin(), indices.end(), begin);
    const Batch batch = make_batch(dataset, indices, preprocess);
    const at::Tensor logits = model.forward(batch.images.to(device)).cpu();  // [B,classes]
    require(logits.size(1) == dataset.classes(), ErrorKind::data, "evaluate: the model has {} classes, the data {}",
            logits.size(1), dataset.classes());
    require(logits.isfinite().all().item<bool>(), ErrorKind::numeric,
            "evaluate: logits of pictures {} … {} are not finite", begin,
            begin + static_cast<int64_t>(indices.size()) - 1);
    accuracy.correct += (logits.argmax(1) == batch.labels).sum().item<int64_t>();
    accuracy.total += logits.size(0);
  }
  module.train(training);
  return accuracy;
}

}  // namespace fovea
