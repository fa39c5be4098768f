#include "fovea/vision/training/run.h"

#include <ATen/ATen.h>

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/recompute.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/training/checkpoint.h"
#include "fovea/vision/training/ema.h"
#include "fovea/vision/training/optimizer.h"
#include "fovea/vision/training/random.h"
#include "fovea/vision/training/schedule.h"

namespace fovea {
namespace {

// What decides the bytes of the result: a run is resumed with the same values only.
std::map<std::string, std::string> run_settings(const RunOptions& options, const TrainingTask& task) {
  const Recipe& recipe = options.recipe;
  std::map<std::string, std::string> values = {
      {"epochs", fmt::format("{}", recipe.epochs)},
      {"batch-size", fmt::format("{}", recipe.batch_size)},
      {"lr", fmt::format("{}", recipe.learning_rate)},
      {"seed", fmt::format("{}", options.seed)},
      {"warm-up epochs", fmt::format("{}", recipe.warmup_epochs)},
      {"gradient limit", fmt::format("{}", recipe.clip_norm)},
      {"weight average", fmt::format("{}", recipe.average_decay)},
      {"optimizer", fmt::format("{} {} {}", recipe.optimizer.kind == OptimizerKind::sgd ? "sgd" : "adamw",
                                recipe.optimizer.weight_decay, recipe.optimizer.momentum)},
  };
  values.merge(task.settings());
  return values;
}

void check_run(const RunOptions& options) {
  const Recipe& recipe = options.recipe;
  require(recipe.epochs >= 1, ErrorKind::usage, "train: epochs {} is not positive", recipe.epochs);
  require(std::isfinite(recipe.learning_rate) && recipe.learning_rate > 0, ErrorKind::usage,
          "train: learning rate {} is not positive", recipe.learning_rate);
  require(recipe.warmup_epochs >= 0 && recipe.clip_norm >= 0 && options.save_every >= 0, ErrorKind::usage,
          "train: warm-up, gradient limit and save interval must not be negative");
}

std::string history_header(const TrainingTask& task) {
  std::string line = "epoch,step,train_loss";
  for (const std::string& figure : task.figures()) line += "," + figure;
  return line + "\n";
}

void create_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  require(!error, ErrorKind::io, "{}: {}", printable(folder.string()), error.message());
}

class Run {
 public:
  Run(TrainingTask& task, const RunOptions& options)
      : task_(task),
        options_(options),
        lock_((create_folder(options.output), options.output)),
        files_(options.output),
        optimizer_(task.module(), options.recipe.optimizer),
        average_(task.module(), options.recipe.average_decay),
        settings_(run_settings(options, task)),
        history_(history_header(task)) {
    total_steps_ = task.steps_per_epoch() * options.recipe.epochs;
    const double warmup = options.recipe.warmup_epochs * static_cast<double>(task.steps_per_epoch());
    schedule_ = {.peak = options.recipe.learning_rate,
                 .warmup_steps = std::min<int64_t>(std::llround(warmup), total_steps_),
                 .total_steps = total_steps_};
    for (const auto& file : {weights_file(), log_file()}) remove_stale_outputs(file);
    if (options.resume) {
      if (const auto state = files_.load()) restore(*state);
    } else {
      require(options.force || !(files_.exist() || std::filesystem::exists(weights_file())), ErrorKind::usage,
              "{}: holds an earlier run; --resume goes on with it, --force replaces it",
              printable(options.output.string()));
      files_.remove();
    }
  }

  RunResult train(const RunCallbacks& callbacks) {
    task_.module().train();
    while (step_ < total_steps_ && !stopped()) {
      const StepReport report = one_step();
      if (callbacks.on_step) callbacks.on_step(report);
      const bool epoch_ends = step_ % task_.steps_per_epoch() == 0;
      if (epoch_ends) end_epoch(report.epoch, callbacks);
      if (epoch_ends || (options_.save_every > 0 && step_ % options_.save_every == 0)) save();
    }
    if (saved_step_ != step_) save();
    average_.swap();
    save_weights(task_.module(), weights_file());
    task_.module().eval();
    const bool complete = step_ == total_steps_;
    if (complete && figures_.empty()) figures_ = task_.measure();
    return {.steps = step_, .interrupted = !complete, .figures = figures_};
  }

 private:
  std::filesystem::path weights_file() const { return options_.output / "model.safetensors"; }
  std::filesystem::path log_file() const { return options_.output / "log.csv"; }
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  at::Tensor loss_of_step() {
    const RecomputeScope scope(options_.recompute);
    return task_.loss(step_);
  }

  StepReport one_step() {
    // Dropout and the like draw from torch's generator: its start is a function of seed and step too.
    at::manual_seed(Random(options_.seed, ~static_cast<uint64_t>(step_)).next());
    const int64_t epoch = step_ / task_.steps_per_epoch() + 1;
    const double rate = learning_rate(schedule_, step_);
    const at::Tensor loss = loss_of_step();
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

  void require_finite(double value, const char* what, int64_t epoch) const {
    require(std::isfinite(value), ErrorKind::numeric, "train: {} is {} at step {} (epoch {}); saved state: {}", what,
            std::isnan(value) ? std::abs(value) : value, step_ + 1, epoch,
            saved_step_ > 0 ? fmt::format("step {}", saved_step_) : "none");
  }

  void end_epoch(int64_t epoch, const RunCallbacks& callbacks) {
    RunEpoch report{.epoch = epoch, .epochs = options_.recipe.epochs};
    report.train_loss = loss_sum_ / static_cast<double>(task_.steps_per_epoch());
    loss_sum_ = 0;
    average_.swap();
    report.figures = figures_ = task_.measure();
    average_.swap();
    history_ += fmt::format("{},{},{:.6f}", epoch, step_, report.train_loss);
    const size_t columns = task_.figures().size();
    for (size_t i = 0; i < columns; ++i) {
      history_ += i < figures_.size() ? fmt::format(",{}", figures_[i]) : ",";
    }
    history_ += "\n";
    if (callbacks.on_epoch) callbacks.on_epoch(report);
  }

  void save() {
    TrainingState state{.step = step_, .settings = settings_, .history = history_};
    for (const auto& [name, tensor] : named_weights(task_.module())) state.tensors.add("model/" + name, tensor);
    for (const auto& [name, tensor] : average_.averages()) state.tensors.add("average/" + name, tensor);
    for (const auto& [name, tensor] : optimizer_.state()) state.tensors.add("optimizer/" + name, tensor);
    state.tensors.add("loss_sum", at::scalar_tensor(loss_sum_, at::kDouble));
    files_.save(state);
    saved_step_ = step_;
    write_file(log_file(), history_);
    average_.swap();
    save_weights(task_.module(), weights_file());
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
    fill(named_weights(task_.module()), "model/");
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

  TrainingTask& task_;
  const RunOptions& options_;
  FolderLock lock_;
  StateFiles files_;
  TrainingOptimizer optimizer_;
  WeightAverage average_;
  std::map<std::string, std::string> settings_;
  std::string history_;  // log.csv
  ScheduleOptions schedule_;
  int64_t total_steps_ = 0;
  int64_t step_ = 0;        // steps done
  int64_t saved_step_ = 0;  // of the last saved state
  double loss_sum_ = 0;     // over the steps of the running epoch
  std::vector<double> figures_;
};

}  // namespace

RunResult run_training(TrainingTask& task, const RunOptions& options, const RunCallbacks& callbacks) {
  check_run(options);
  return Run(task, options).train(callbacks);
}

}  // namespace fovea
