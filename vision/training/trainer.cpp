#include "fovea/vision/training/trainer.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/vision/training/batches.h"

namespace fovea {
namespace {

// Pictures with one label each.
class Classification : public TrainingTask {
 public:
  Classification(ImageModel& model, const TrainData& data, const TrainOptions& options)
      : model_(model),
        data_(data),
        options_(options),
        batches_(data.train, {.batch_size = options.run.recipe.batch_size,
                              .seed = options.run.seed,
                              .preprocess = options.preprocess,
                              .augment = options.run.recipe.augment}) {
    if (options.teacher != nullptr) options.teacher->module().eval();
  }

  torch::nn::Module& module() override { return model_.module(); }
  int64_t steps_per_epoch() const override { return batches_.steps_per_epoch(); }

  at::Tensor loss(int64_t step) override {
    const Batch batch = batches_.get(step);
    const at::Device device = module().parameters().front().device();
    return loss_of({.images = batch.images.to(device), .labels = batch.labels.to(device)});
  }

  std::vector<std::string> figures() const override { return {"test_correct", "test_total"}; }

  std::vector<double> measure() override {
    if (data_.test == nullptr) return {};
    const Accuracy accuracy = evaluate(model_, *data_.test, options_.preprocess);
    return {static_cast<double>(accuracy.correct), static_cast<double>(accuracy.total)};
  }

  std::map<std::string, std::string> settings() const override {
    const Recipe& recipe = options_.run.recipe;
    const PreprocessOptions& preprocess = options_.preprocess;
    std::map<std::string, std::string> values = {
        {"model", options_.model},
        {"pictures", fmt::format("{}", data_.train.size())},
        {"label smoothing", fmt::format("{}", recipe.label_smoothing)},
        {"augmentation", fmt::format("{} {} {}", recipe.augment.flip, recipe.augment.shift, recipe.augment.erase)},
        {"input", fmt::format("{}x{} {}", preprocess.width, preprocess.height, preprocess.crop_pct)},
    };
    if (options_.teacher != nullptr) {
      values["teacher"] = fmt::format("{} {}", options_.teacher_name, recipe.teacher_share);
    }
    return values;
  }

 private:
  at::Tensor loss_of(const Batch& batch) {
    const Recipe& recipe = options_.run.recipe;
    const at::Tensor logits = model_.forward(batch.images);  // [B,classes]
    require(logits.size(1) == data_.train.classes(), ErrorKind::data, "train: the model has {} classes, the data {}",
            logits.size(1), data_.train.classes());
    const at::Tensor loss =
        at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Mean, -100, recipe.label_smoothing);
    if (options_.teacher == nullptr) return loss;
    at::Tensor answers;  // [B,classes], sum 1
    {
      const at::NoGradGuard no_grad;
      answers = options_.teacher->forward(batch.images).softmax(1);
    }
    require(answers.sizes() == logits.sizes(), ErrorKind::data, "train: the teacher has {} classes, the model {}",
            answers.size(1), logits.size(1));
    return (1 - recipe.teacher_share) * loss + recipe.teacher_share * at::cross_entropy_loss(logits, answers);
  }

  ImageModel& model_;
  const TrainData& data_;
  const TrainOptions& options_;
  TrainingBatches batches_;
};

void check(const TrainOptions& options, const TrainData& data) {
  const Recipe& recipe = options.run.recipe;
  require(recipe.label_smoothing >= 0 && recipe.label_smoothing < 1, ErrorKind::usage,
          "train: label smoothing {} is not in [0,1)", recipe.label_smoothing);
  require(recipe.teacher_share >= 0 && recipe.teacher_share <= 1, ErrorKind::usage,
          "train: the teacher's share {} is not in [0,1]", recipe.teacher_share);
  require_pairs(data.train.size(), recipe.batch_size);
}

std::optional<Accuracy> accuracy_of(const std::vector<double>& figures) {
  if (figures.empty()) return std::nullopt;
  return Accuracy{.correct = static_cast<int64_t>(figures[0]), .total = static_cast<int64_t>(figures[1])};
}

}  // namespace

TrainResult train_classifier(ImageModel& model, const TrainData& data, const TrainOptions& options,
                             const TrainCallbacks& callbacks) {
  check(options, data);
  Classification task(model, data, options);
  RunCallbacks each{.on_step = callbacks.on_step, .on_epoch = {}};
  if (callbacks.on_epoch) {
    each.on_epoch = [&](const RunEpoch& epoch) {
      callbacks.on_epoch({.epoch = epoch.epoch,
                          .epochs = epoch.epochs,
                          .train_loss = epoch.train_loss,
                          .test = accuracy_of(epoch.figures)});
    };
  }
  const RunResult result = run_training(task, options.run, each);
  return {.steps = result.steps, .interrupted = result.interrupted, .test = accuracy_of(result.figures)};
}

}  // namespace fovea
