#include "fovea/vision/training/multi_label.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/vision/training/label_loss.h"
#include "fovea/vision/training/mean_average_precision.h"
#include "fovea/vision/training/order.h"

namespace fovea {
namespace {

at::Device device_of(torch::nn::Module& module) {
  const auto parameters = module.parameters();
  return parameters.empty() ? at::Device(at::kCPU) : parameters.front().device();
}

class MultiLabel : public TrainingTask {
 public:
  MultiLabel(ImageModel& model, const MultiLabelData& data, const MultiLabelOptions& options)
      : model_(model),
        data_(data),
        options_(options),
        order_({.pictures = data.train.size(),
                .batch_size = options.run.recipe.batch_size,
                .seed = options.run.seed,
                .endless = data.train.endless()}) {}

  torch::nn::Module& module() override { return model_.module(); }
  int64_t steps_per_epoch() const override { return order_.steps_per_epoch(); }

  at::Tensor loss(int64_t step) override {
    const PreprocessOptions& how = options_.preprocess;
    const TokenGrid grid = model_.grid(how.height, how.width);
    std::vector<at::Tensor> images, present, places;
    for (const int64_t index : order_.indices(step)) {
      const PictureOfThings picture = data_.train.get(index);
      images.push_back(preprocess(picture.image, how));
      const auto seen = crop_geometry(picture.image.width, picture.image.height, how).in_original();
      const LabelTargets targets = label_targets(picture.things, data_.train.classes(), grid, seen);
      present.push_back(targets.present);
      places.push_back(targets.places);
    }
    const at::Device device = device_of(module());
    const auto x = at::stack(images).contiguous(at::MemoryFormat::ChannelsLast).to(device);
    return label_loss(model_, model_.forward_features(x), {at::cat(present).to(device), at::cat(places).to(device)},
                      options_.place_share);
  }

  std::vector<std::string> figures() const override { return {"test_map"}; }
  std::vector<double> measure() override {
    if (data_.test == nullptr) return {};
    return {evaluate_labels(model_, *data_.test, options_.preprocess)};
  }

  std::map<std::string, std::string> settings() const override {
    const PreprocessOptions& how = options_.preprocess;
    return {{"model", options_.model},
            {"data", options_.data},
            {"pictures", fmt::format("{}", data_.train.size())},
            {"input", fmt::format("{}x{} {}", how.width, how.height, how.crop_pct)},
            {"place share", fmt::format("{}", options_.place_share)}};
  }

 private:
  ImageModel& model_;
  const MultiLabelData& data_;
  const MultiLabelOptions& options_;
  TrainingOrder order_;
};

}  // namespace

double evaluate_labels(ImageModel& model, const ThingsDataset& data, const PreprocessOptions& how, int64_t batch_size) {
  const c10::InferenceMode inference;
  torch::nn::Module& module = model.module();
  const bool training = module.is_training();
  module.eval();
  std::vector<at::Tensor> scores;
  auto present = at::zeros({data.size(), data.classes()}, at::kBool);
  for (int64_t begin = 0; begin < data.size(); begin += batch_size) {
    std::vector<at::Tensor> images;
    for (int64_t i = begin; i < std::min(begin + batch_size, data.size()); ++i) {
      const PictureOfThings picture = data.get(i);
      images.push_back(preprocess(picture.image, how));
      for (const Thing& thing : picture.things) present[i][thing.label] = true;
    }
    const auto x = at::stack(images).contiguous(at::MemoryFormat::ChannelsLast).to(device_of(module));
    scores.push_back(model.forward(x).cpu());
  }
  module.train(training);
  return mean_average_precision(at::cat(scores), present);
}

RunResult train_multi_label(ImageModel& model, const MultiLabelData& data, const MultiLabelOptions& options,
                            const RunCallbacks& callbacks) {
  require(options.place_share >= 0, ErrorKind::usage, "train: the share {} of the places is negative",
          options.place_share);
  require_pairs(data.train.size(), options.run.recipe.batch_size);
  MultiLabel task(model, data, options);
  return run_training(task, options.run, callbacks);
}

}  // namespace fovea
