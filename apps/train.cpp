// fovea train: makes or goes on making the weights of a network from a folder of labelled images.
#include <ATen/Context.h>

#include <CLI/CLI.hpp>

#include "fovea/apps/arguments.h"
#include "fovea/apps/command.h"
#include "fovea/apps/network.h"
#include "fovea/apps/output.h"
#include "fovea/apps/resources.h"
#include "fovea/apps/signals.h"
#include "fovea/apps/train.h"
#include "fovea/datasets/embedded.h"
#include "fovea/datasets/labelled_data.h"
#include "fovea/datasets/labels.h"
#include "fovea/modules/channel/factory.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/vision/models/model_config.h"
#include "fovea/vision/training/trainer.h"

namespace fovea {
namespace {

// The module at this path; the network itself for an empty one.
torch::nn::Module& part_of(torch::nn::Module& network, const std::string& path) {
  if (path.empty()) return network;
  const auto parts = network.named_modules("", /*include_self=*/false);
  const auto* const found = parts.find(path);
  require(found != nullptr, ErrorKind::usage, "--into: the network has no {}", printable(path));
  return **found;
}

}  // namespace

std::optional<BlockAttention> attention_of(const TrainArguments& options) {
  require(!options.attention.empty() || options.attention_in.empty(), ErrorKind::usage,
          "--attention-stages needs --attention NAME");
  if (options.attention.empty()) return std::nullopt;
  BlockAttention attention{.name = options.attention == "none" ? "" : options.attention};
  for (const std::string& stage : options.attention_in) {
    attention.stages.push_back(parse_integer("--attention-stages", stage, {.least = 1}));
  }
  return attention;
}

std::string record_name(const ModelInfo& info) {
  return info.attention ? fmt::format("{}, attention {}", info.name, describe(*info.attention)) : info.name;
}

TrainStart start_network(const TrainArguments& options, std::vector<std::string> labels_of_data) {
  at::manual_seed(static_cast<uint64_t>(options.seed));
  TrainStart start;
  start.labels = options.labels.empty() ? std::move(labels_of_data) : read_labels(options.labels);
  const auto attention = attention_of(options);
  const EmbeddedModel* const embedded = find_embedded(options.model.model);
  if (embedded != nullptr) {
    start.named = create_embedded(embedded->name, {.attention = attention});
    if (start.labels.empty()) start.labels = read_labels(resource(embedded->labels).string());
  } else {
    require(options.model.classes || !start.labels.empty(), ErrorKind::usage,
            "--model {} needs --classes or --labels, so that it fits data of IDX files",
            printable(options.model.model));
    start.named = create_model(
        options.model.model, {.num_classes = options.model.classes.value_or(static_cast<int64_t>(start.labels.size())),
                              .image_size = options.model.image_size,
                              .attention = attention});
  }
  const int64_t classes = start.named.info.num_classes;
  const auto names = static_cast<int64_t>(start.labels.size());
  require(names == 0 || names == classes, ErrorKind::usage, "{}: {} labels, but the model has {} classes",
          printable(options.labels.empty() ? options.data : options.labels), names, classes);
  require(options.model.classes.value_or(classes) == classes, ErrorKind::usage, "{} has {} classes, {} were asked for",
          start.named.info.name, classes, options.model.classes.value_or(0));
  require(options.part.empty() || !options.model.weights.empty(), ErrorKind::usage, "--into needs --weights FILE");
  if (!options.model.weights.empty()) {
    load_weights(part_of(start.named.model->module(), options.part), options.model.weights,
                 {.allow_missing = options.model.allow_missing,
                  .allow_unexpected = options.model.allow_unexpected,
                  .allow_non_finite = options.model.allow_non_finite,
                  .adapt = options.model.adapt});
  }
  return start;
}

Recipe recipe_of(const TrainArguments& options, Recipe recipe) {
  recipe.epochs = options.epochs.value_or(recipe.epochs);
  recipe.batch_size = options.batch_size.value_or(recipe.batch_size);
  if (options.learning_rate > 0) recipe.learning_rate = options.learning_rate;
  recipe.label_smoothing = options.label_smoothing.value_or(recipe.label_smoothing);
  return recipe;
}

RunOptions run_options(const TrainArguments& options, const Recipe& recipe) {
  return {.output = options.output,
          .recipe = recipe,
          .seed = static_cast<uint64_t>(options.seed),
          .save_every = options.save_every,
          .resume = options.resume,
          .force = options.force,
          .stop = &stop_requested(),
          .recompute = options.recompute};
}

void TrainProgress::step(const StepReport& report) {
  if (!bar_) bar_.emplace("train", report.total_steps);
  bar_->update(report.step, fmt::format("loss {:.4f}", report.loss));
}

void TrainProgress::epoch(const std::string& line) {
  if (bar_) bar_->clear();
  print_output(line + "\n");
}

RunCallbacks TrainProgress::callbacks(std::vector<std::string> figures) {
  return {.on_step = [this](const StepReport& report) { step(report); },
          .on_epoch =
              [this, figures = std::move(figures)](const RunEpoch& report) {
                std::string line =
                    fmt::format("epoch {} of {}: loss {:.4f}", report.epoch, report.epochs, report.train_loss);
                for (size_t i = 0; i < report.figures.size(); ++i) {
                  line += fmt::format(", {} {:.4f}", figures.at(i), report.figures[i]);
                }
                epoch(line);
              }};
}

namespace {

std::string epoch_line(const EpochReport& epoch) {
  std::string line = fmt::format("epoch {} of {}: loss {:.4f}", epoch.epoch, epoch.epochs, epoch.train_loss);
  if (epoch.test) line += fmt::format(", test accuracy {:.2f} %", epoch.test->percent());
  return line;
}

int run(const TrainArguments& options, const CommonOptions& common) {
  require(!options.resume || !options.force, ErrorKind::usage, "--resume and --force contradict each other");
  const Runtime runtime = select_runtime(common);
  require(runtime.dtype == at::kFloat, ErrorKind::usage, "train: weights are trained in float32, leave --dtype out");
  if (!options.caption.empty()) return train_captions(options, runtime);
  require(options.images.empty() && options.test_data.empty(), ErrorKind::usage,
          "--images and --test-data are of captioners: give --caption");
  if (options.data == "scenes") return train_things(options, runtime);
  require(!options.pictures && !options.test_pictures && !options.crowded, ErrorKind::usage,
          "--pictures, --test-pictures and --crowded are of scenes");
  auto [named, labels] = start_network(options, labels_of_data(options.data));
  named.info.multi_label = false;
  const LabelledData data = open_labelled_data(options.data, named.info.num_classes);
  named.model->module().to(runtime.device);
  std::optional<Network> teacher;
  if (!options.teacher.empty()) teacher = load_network({.model = {.model = options.teacher}}, runtime);

  const TrainOptions how{.run = run_options(options, recipe_of(options, default_recipe(named.info.family))),
                         .model = record_name(named.info),
                         .preprocess = named.info.preprocess,
                         .teacher = teacher ? teacher->model.get() : nullptr,
                         .teacher_name = options.teacher};
  TrainProgress progress;
  const TrainCallbacks callbacks{.on_step = [&](const StepReport& report) { progress.step(report); },
                                 .on_epoch = [&](const EpochReport& report) { progress.epoch(epoch_line(report)); }};
  const TrainResult result =
      train_classifier(*named.model, {.train = *data.train, .test = data.test.get()}, how, callbacks);
  progress.clear();
  if (result.interrupted) return exit_code_of(stop_signal());

  const std::string config = (std::filesystem::path(options.output) / "config.json").string();
  write_model_config(config, named.info, labels);
  if (result.test) {
    print_output(fmt::format("test accuracy {:.2f} % ({} of {})\n", result.test->percent(), result.test->correct,
                             result.test->total));
  }
  print_output(fmt::format("try it: fovea classify --model {} IMAGE\n", printable(options.output)));
  return 0;
}

}  // namespace

Command add_train(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("train", "Train a classifier or a captioner");
  auto options = std::make_shared<TrainArguments>();
  add_model_options(*app, options->model);
  app->get_option("--model")->required();
  app->add_option(
         "--data", options->data,
         "Folder with a subfolder of images for each class (below train/ and test/, or alone), or of IDX files; or "
         "scenes, drawn as fovea scenes does: the network then names everything on them")
      ->required()
      ->type_name("PATH");
  app->add_option("--labels", options->labels, "Names of the classes, one a line")->type_name("FILE");
  app->add_option("--into", options->part,
                  "Part of a classifier that --weights fills; the rest starts at random: patch_embed.backbone")
      ->type_name("PATH");
  app->add_option("--output", options->output, "Folder for weights and state")->required()->type_name("DIR");
  app->add_option("--teacher", options->teacher, "Embedded network or folder whose answers are learned too")
      ->type_name("NAME");
  app->add_option("--attention", options->attention,
                  "Attention in the blocks of a ResNet in place of its own: none, " +
                      fmt::format("{}", fmt::join(channel_attention_names(), ", ")))
      ->type_name("NAME");
  app->add_option("--attention-stages", options->attention_in, "Its stages, counted from 1 (all)")
      ->delimiter(',')
      ->type_name("1,2,…");
  add_integer(*app, "--epochs", options->epochs, {.least = 1, .most = 1'000'000}, "Passes over the data");
  add_integer(*app, "--batch-size", options->batch_size, {.least = 1, .most = 1'000'000}, "Images a step");
  add_positive(*app, "--lr", options->learning_rate, "Highest learning rate");
  add_integer(*app, "--seed", options->seed, {.least = 0}, "Of everything random (0)");
  add_integer(*app, "--save-every", options->save_every, {.least = 1}, "Steps between saved states (an epoch)");
  add_positive(*app, "--label-smoothing", options->label_smoothing,
               "Share of the right answer that is spread over all (as the recipe says)");
  add_integer(*app, "--pictures", options->pictures, {.least = 2, .most = 1'000'000'000}, "Scenes of an epoch (20000)");
  add_integer(*app, "--test-pictures", options->test_pictures, {.least = 1, .most = 1'000'000},
              "Scenes that each epoch is measured on (500)");
  app->add_flag("--crowded", options->crowded,
                "Scenes of a dozen things each: what things look like is learned from fewer of them");
  add_scene_options(*app, options->scenes);
  add_caption_training_options(*app, *options);
  app->add_flag("--resume", options->resume, "Go on from the state in the output folder");
  app->add_flag("--force", options->force, "Replace an earlier run in the output folder");
  app->add_flag("--recompute", options->recompute, "Run the blocks of transformers again in backward: less memory");
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
