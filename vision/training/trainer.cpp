#include "fovea/vision/training/trainer.h"

#include <ATen/ATen.h>

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/training/batches.h"
#include "fovea/vision/training/checkpoint.h"
#include "fovea/vision/training/ema.h"
#include "fovea/vision/training/optimizer.h"
#include "fovea/vision/training/schedule.h"

namespace fovea {
namespace {

constexpr const char* history_header = "epoch,step,train_loss,test_correct,test_total\n";

// What decides the bytes of the result: a run is resumed with the same values only.
std::map<std::string, std::string> settings(const TrainOptions& options, const TrainData& data) {
  const Recipe& recipe = options.recipe;
  const PreprocessOptions& preprocess = options.preprocess;
  std::map<std::string, std::string> values = {
      {"model", options.model},
      {"pictures", fmt::format("{}", data.train.size())},
      {"epochs", fmt::format("{}", recipe.epochs)},
      {"batch-size", fmt::format("{}", recipe.batch_size)},
      {"lr", fmt::format("{}", recipe.learning_rate)},
      {"seed", fmt::format("{}", options.seed)},
      {"warm-up epochs", fmt::format("{}", recipe.warmup_epochs)},
      {"label smoothing", fmt::format("{}", recipe.label_smoothing)},
      {"gradient limit", fmt::format("{}", recipe.clip_norm)},
      {"weight average", fmt::format("{}", recipe.average_decay)},
      {"optimizer", fmt::format("{} {} {}", recipe.optimizer.kind == OptimizerKind::sgd ? "sgd" : "adamw",
                                recipe.optimizer.weight_decay, recipe.optimizer.momentum)},
      {"augmentation", fmt::format("{} {} {}", recipe.augment.flip, recipe.augment.shift, recipe.augment.erase)},
      {"input", fmt::format("{}x{} {}", preprocess.width, preprocess.height, preprocess.crop_pct)},
  };
  if (options.teacher != nullptr) {
    values["teacher"] = fmt::format("{} {}", options.teacher_name, recipe.teacher_share);
  }
  return values;
}

void check(const TrainOptions& options, const TrainData& data) {
  const Recipe& recipe = options.recipe;
  require(recipe.epochs >= 1, ErrorKind::usage, "train: epochs {} is not positive", recipe.epochs);
  require(std::isfinite(recipe.learning_rate) && recipe.learning_rate > 0, ErrorKind::usage,
          "train: learning rate {} is not positive", recipe.learning_rate);
  require(recipe.label_smoothing >= 0 && recipe.label_smoothing < 1, ErrorKind::usage,
          "train: label smoothing {} is not in [0,1)", recipe.label_smoothing);
  require(recipe.teacher_share >= 0 && recipe.teacher_share <= 1, ErrorKind::usage,
          "train: the teacher's share {} is not in [0,1]", recipe.teacher_share);
  require(recipe.warmup_epochs >= 0 && recipe.clip_norm >= 0 && options.save_every >= 0, ErrorKind::usage,
          "train: warm-up, gradient limit and save interval must not be negative");
  // Batches differ by one at most: where the sizes allow one picture alone, batch norm has no variance to divide by.
  const int64_t steps = (data.train.size() + recipe.batch_size - 1) / std::max<int64_t>(recipe.batch_size, 1);
  require(recipe.batch_size < 1 || data.train.size() / std::max<int64_t>(steps, 1) >= 2, ErrorKind::usage,
          "train: batch size {} with {} pictures makes batches of a single one; at least two are needed",
          recipe.batch_size, data.train.size());
}

void create_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  require(!error, ErrorKind::io, "{}: {}", printable(folder.string()), error.message());
}

class Run {
 public:
  Run(ImageModel& model, const TrainData& data, const TrainOptions& options)
      : model_(model),
        data_(data),
        options_(options),
        lock_((create_folder(options.output), options.output)),
        files_(options.output),
        batches_(data.train, {.batch_size = options.recipe.batch_size,
                              .seed = options.seed,
                              .preprocess = options.preprocess,
                              .augment = options.recipe.augment}),
        optimizer_(model.module(), options.recipe.optimizer),
        average_(model.module(), options.recipe.average_decay),
        settings_(settings(options, data)),
        history_(history_header) {
    total_steps_ = batches_.steps_per_epoch() * options.recipe.epochs;
    const double warmup = options.recipe.warmup_epochs * static_cast<double>(batches_.steps_per_epoch());
    schedule_ = {.peak = options.recipe.learning_rate,
                 .warmup_steps = std::min<int64_t>(std::llround(warmup), total_steps_),
                 .total_steps = total_steps_};
    remove_stale_outputs(weights_file());
    if (options.resume) {
      if (const auto state = files_.load()) restore(*state);
    } else {
      require(options.force || !(files_.exist() || std::filesystem::exists(weights_file())), ErrorKind::usage,
              "{}: holds an earlier run; --resume goes on with it, --force replaces it",
              printable(options.output.string()));
      files_.remove();
    }
  }

  TrainResult train(const TrainCallbacks& callbacks) {
    model_.module().train();
    if (options_.teacher != nullptr) options_.teacher->module().eval();
    while (step_ < total_steps_ && !stopped()) {
      const StepReport report = one_step();
      if (callbacks.on_step) callbacks.on_step(report);
      const bool epoch_ends = step_ % batches_.steps_per_epoch() == 0;
      if (epoch_ends) end_epoch(report.epoch, callbacks);
      if (epoch_ends || (options_.save_every > 0 && step_ % options_.save_every == 0)) save();
    }
    if (saved_step_ != step_) save();
    average_.swap();
    save_weights(model_.module(), weights_file());
    model_.module().eval();
    const bool complete = step_ == total_steps_;
    if (complete && !last_test_ && data_.test != nullptr)
      last_test_ = evaluate(model_, *data_.test, options_.preprocess);
    return {.steps = step_, .interrupted = !complete, .test = last_test_};
  }

 private:
  std::filesystem::path weights_file() const { return options_.output / "model.safetensors"; }
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  StepReport one_step() {
    // Dropout and the like draw from torch's generator: its start is a function of seed and step too.
    at::manual_seed(Random(options_.seed, ~static_cast<uint64_t>(step_)).next());
    const Batch batch = batches_.get(step_);
    const at::Device device = model_.module().parameters().front().device();
    const int64_t epoch = step_ / batches_.steps_per_epoch() + 1;
    const double rate = learning_rate(schedule_, step_);
    const at::Tensor loss = loss_of({.images = batch.images.to(device), .labels = batch.labels.to(device)});
    const double value = loss.item<double>();
    require_finite(value, "loss", epoch);
    optimizer_.zero_grad();
    loss.backward();
    require_finite(optimizer_.clip_gradients(options_.recipe.clip_norm), "norm of the gradients", epoch);
    optimizer_.step(rate);
    average_.update();
    ++step_;
    loss_sum_ += value;
    return {.step = step_, .total_steps = total_steps_, .epoch = epoch, .loss = value, .learning_rate = rate};
  }

  at::Tensor loss_of(const Batch& batch) {
    const Recipe& recipe = options_.recipe;
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

  void require_finite(double value, const char* what, int64_t epoch) const {
    require(std::isfinite(value), ErrorKind::numeric, "train: {} is {} at step {} (epoch {}); saved state: {}", what,
            std::isnan(value) ? std::abs(value) : value, step_ + 1, epoch,
            saved_step_ > 0 ? fmt::format("step {}", saved_step_) : "none");
  }

  void end_epoch(int64_t epoch, const TrainCallbacks& callbacks) {
    EpochReport report{.epoch = epoch, .epochs = options_.recipe.epochs};
    report.train_loss = loss_sum_ / static_cast<double>(batches_.steps_per_epoch());
    loss_sum_ = 0;
    if (data_.test != nullptr) {
      average_.swap();
      last_test_ = report.test = evaluate(model_, *data_.test, options_.preprocess);
      average_.swap();
    }
    history_ += fmt::format("{},{},{:.6f},", epoch, step_, report.train_loss);
    history_ += report.test ? fmt::format("{},{}\n", report.test->correct, report.test->total) : ",\n";
    if (callbacks.on_epoch) callbacks.on_epoch(report);
  }

  void save() {
    TrainingState state{.step = step_, .settings = settings_, .history = history_};
    for (const auto& [name, tensor] : named_weights(model_.module())) state.tensors.add("model/" + name, tensor);
    for (const auto& [name, tensor] : average_.averages()) state.tensors.add("average/" + name, tensor);
    for (const auto& [name, tensor] : optimizer_.state()) state.tensors.add("optimizer/" + name, tensor);
    state.tensors.add("loss_sum", at::scalar_tensor(loss_sum_, at::kDouble));
    files_.save(state);
    saved_step_ = step_;
    write_file(options_.output / "log.csv", history_);
    average_.swap();
    save_weights(model_.module(), weights_file());
    average_.swap();
  }

  void restore(const TrainingState& state) {
    auto options = settings_;
    for (const auto& [option, value] : state.settings) options.try_emplace(option, "none");
    for (const auto& [option, value] : options) {
      const auto found = state.settings.find(option);
      const std::string earlier = found == state.settings.end() ? "none" : found->second;
      require(earlier == value, ErrorKind::usage, "{}: the run there has {} {}, not {}",
              printable(options_.output.string()), printable(option), printable(earlier), value);
    }
    const at::NoGradGuard no_grad;
    // Copied, not aliased: kernels may round differently on memory that is aligned otherwise.
    const auto fill = [&](const std::vector<NamedTensor>& targets, const std::string& part) {
      for (const auto& [name, tensor] : targets) {
        const at::Tensor* found = state.tensors.find(part + name);
        require(found != nullptr && found->sizes() == tensor.sizes(), ErrorKind::data,
                "{}: the saved state does not fit the model: {}", printable(options_.output.string()), part + name);
        tensor.detach().copy_(*found);
      }
    };
    fill(named_weights(model_.module()), "model/");
    fill(average_.averages(), "average/");
    StateDict moments;
    for (const auto& [name, tensor] : state.tensors) {
      if (name.starts_with("optimizer/")) moments.add(name.substr(std::string_view("optimizer/").size()), tensor);
    }
    optimizer_.restore(moments);
    const at::Tensor* loss_sum = state.tensors.find("loss_sum");
    require(loss_sum != nullptr, ErrorKind::data, "{}: the saved state lacks loss_sum",
            printable(options_.output.string()));
    loss_sum_ = loss_sum->item<double>();
    history_ = state.history;
    step_ = saved_step_ = state.step;
    average_.set_updates(step_);
  }

  ImageModel& model_;
  const TrainData& data_;
  const TrainOptions& options_;
  FolderLock lock_;
  StateFiles files_;
  TrainingBatches batches_;
  TrainingOptimizer optimizer_;
  WeightAverage average_;
  std::map<std::string, std::string> settings_;
  std::string history_;  // log.csv
  ScheduleOptions schedule_;
  int64_t total_steps_ = 0;
  int64_t step_ = 0;        // steps done
  int64_t saved_step_ = 0;  // of the last saved state
  double loss_sum_ = 0;     // over the steps of the running epoch
  std::optional<Accuracy> last_test_;
};

}  // namespace

TrainResult train_classifier(ImageModel& model, const TrainData& data, const TrainOptions& options,
                             const TrainCallbacks& callbacks) {
  check(options, data);
  return Run(model, data, options).train(callbacks);
}

}  // namespace fovea
