// fovea evaluate: accuracy on labelled images, how faithful methods of explanation are to the network, and captions.
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fovea/apps/arguments.h"
#include "fovea/apps/command.h"
#include "fovea/apps/evaluate_captions.h"
#include "fovea/apps/evaluate_things.h"
#include "fovea/apps/network.h"
#include "fovea/apps/output.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/captioning/models/load_captioner.h"
#include "fovea/datasets/labelled_data.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/vision/explain/faithfulness.h"
#include "fovea/vision/explain/methods.h"
#include "fovea/vision/training/evaluate.h"

namespace fovea {
namespace {

constexpr const char* shuffled = "shuffled";  // the first method's map with its places in random order: has to lose

struct EvaluateArguments {
  NetworkOptions network;
  CaptionEvaluation captions;  // also its data, seed, json
  std::vector<std::string> methods;
  int64_t pictures = 200;
};

// Sums over the pictures.
struct MethodScore {
  std::string method;
  double deletion = 0;
  double insertion = 0;
  double randomised = 0;  // agreement with the map of the same network with random weights
};

struct Scores {
  std::vector<MethodScore> methods;
  int64_t pictures = 0;
};

// The same network with every layer drawn anew.
std::shared_ptr<torch::nn::Module> randomised(ImageModel& model, uint64_t seed) {
  auto copy = model.module().clone();
  randomise_last_layers(*copy, std::numeric_limits<int64_t>::max(), seed);
  copy->eval();
  return copy;
}

Scores compare_methods(const EvaluateArguments& options, const Network& network, const Dataset& data) {
  const auto seed = static_cast<uint64_t>(options.captions.seed);
  at::manual_seed(seed);
  const auto random_module = randomised(*network.model, seed);
  auto* const random_model = dynamic_cast<ImageModel*>(random_module.get());
  Scores scores;
  for (const std::string& method : options.methods) scores.methods.push_back({.method = method});
  scores.methods.push_back({.method = shuffled});

  const int64_t count = std::min(options.pictures, data.size());
  Progress progress("evaluate", count);
  for (int64_t i = 0; i < count && stop_signal() == 0; ++i) {
    const Example example = data.get(i * data.size() / count);  // spread over the data
    const auto x = preprocess(example.image, network.info.preprocess)
                       .unsqueeze(0)
                       .to(network.runtime.device, network.runtime.dtype);
    at::Tensor wrong;
    int64_t target = 0;
    for (MethodScore& score : scores.methods) {
      at::Tensor heat = wrong;
      if (score.method != shuffled) {
        const Explanation seen = explain(*network.model, x, {.method = score.method});
        const Explanation unlearned = explain(*random_model, x, {.method = score.method});
        score.randomised += agreement(seen.heat.values, unlearned.heat.values);
        heat = seen.heat.values;
        target = seen.target;
        if (!wrong.defined()) wrong = heat.flatten().index_select(0, at::randperm(heat.numel())).view_as(heat);
      }
      const Faithfulness faithful = faithfulness(*network.model, x, heat, target);
      score.deletion += faithful.deletion_area;
      score.insertion += faithful.insertion_area;
    }
    progress.update(++scores.pictures);
  }
  return scores;
}

std::string as_table(const Network& network, const Accuracy& accuracy, const Scores& scores) {
  std::string text = fmt::format("{}: accuracy {:.2f} % ({} of {})\n", network.info.name, accuracy.percent(),
                                 accuracy.correct, accuracy.total);
  if (scores.methods.empty()) return text;
  text += fmt::format("\n{:<20} {:>9} {:>10} {:>11}   means of {} pictures\n", "method", "deletion", "insertion",
                      "randomised", scores.pictures);
  const auto count = static_cast<double>(scores.pictures);
  for (const MethodScore& score : scores.methods) {
    const std::string sanity =
        score.method == shuffled ? std::string("") : fmt::format("{:.3f}", score.randomised / count);
    text += fmt::format("{:<20} {:>9.3f} {:>10.3f} {:>11}\n", score.method, score.deletion / count,
                        score.insertion / count, sanity);
  }
  return text +
         "deletion: small is faithful; insertion: large is; randomised: agreement with the map of random weights,\n"
         "near 0 where the map shows what was learned\n";
}

nlohmann::ordered_json as_json(const Network& network, const Accuracy& accuracy, const Scores& scores) {
  nlohmann::ordered_json answer = {
      {"model", network.info.name},
      {"accuracy", {{"percent", accuracy.percent()}, {"correct", accuracy.correct}, {"total", accuracy.total}}}};
  const auto count = static_cast<double>(scores.pictures);
  for (const MethodScore& score : scores.methods) {
    nlohmann::ordered_json row = {{"method", score.method},
                                  {"pictures", scores.pictures},
                                  {"deletion", score.deletion / count},
                                  {"insertion", score.insertion / count}};
    if (score.method != shuffled) row["randomised"] = score.randomised / count;
    answer["explain"].push_back(std::move(row));
  }
  return answer;
}

int evaluate_labelled(const EvaluateArguments& options, const CommonOptions& common) {
  const Network network = load_network(options.network, select_runtime(common));
  require(network.runtime.dtype == at::kFloat, ErrorKind::usage, "evaluate: works in float32 alone; leave --dtype out");
  LabelledData data = open_labelled_data(options.captions.data.data, network.info.num_classes);
  const Dataset& pictures = data.test ? *data.test : *data.train;
  Scores scores;
  if (!options.methods.empty()) scores = compare_methods(options, network, pictures);
  if (stop_signal() != 0) return exit_code_of(stop_signal());
  prepare_for_inference(network.model->module());
  const Accuracy accuracy = evaluate(*network.model, pictures, network.info.preprocess);
  print_output(options.captions.json ? as_json(network, accuracy, scores).dump(2) + "\n"
                                     : as_table(network, accuracy, scores));
  return 0;
}

// A network that names things, where captions could be meant too.
bool names_things(const ModelOptions& model) {
  return model.model.empty() ? !model.weights.empty() : !is_captioner(model.model);
}

int run(EvaluateArguments& options, const CommonOptions& common) {
  CaptionEvaluation& captions = options.captions;
  if (!is_caption_data(captions.data.data)) {
    require(captions.captions.empty(), ErrorKind::usage,
            "--captions needs --data of captions: scenes, or a .json file");
    return evaluate_labelled(options, common);
  }
  require(options.methods.empty(), ErrorKind::usage, "--explain needs --data of labelled images, got {}",
          printable(captions.data.data));
  const ModelOptions& model = options.network.model;
  if (is_scene_data(captions.data.data) && captions.captions.empty() && names_things(model)) {
    return evaluate_things(options.network, captions.data, captions.json, common);
  }
  captions.model = model.model;
  captions.weights = model.weights;
  return evaluate_captions(captions, common);
}

}  // namespace

Command add_evaluate(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("evaluate", "Measure accuracy, captions, and how faithful explanations are");
  auto options = std::make_shared<EvaluateArguments>();
  app->add_option("--data", options->captions.data.data,
                  "Folder of labelled images as train takes it (its test part where it has one); of captions: scenes, "
                  "scenes:test, scenes:unseen, or a .json file as COCO or Karpathy write it")
      ->required()
      ->type_name("PATH");
  std::vector<std::string> names;
  for (const ExplainMethod& method : explain_methods()) names.push_back(method.name);
  app->add_option("--explain", options->methods, "Methods to compare, as overlay's --method")
      ->check(CLI::IsMember(names))
      ->delimiter(',')
      ->type_name("METHOD…");
  add_integer(*app, "--pictures", options->pictures, {.least = 1}, "Pictures the methods are compared on (200)");
  add_integer(*app, "--seed", options->captions.seed, {.least = 0}, "Of the random weights and places (0)");
  app->add_flag("--json", options->captions.json, "Answer as JSON");
  add_caption_options(*app, options->captions);
  add_model_options(*app, options->network.model);
  app->add_option("--labels", options->network.labels, "Names of the classes, one a line")->type_name("FILE");
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
