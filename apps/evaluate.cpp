// fovea evaluate: accuracy on labelled images, how faithful methods of explanation are to the network, and captions.
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fovea/apps/arguments.h"
#include "fovea/apps/command.h"
#include "fovea/apps/evaluate_captions.h"
#include "fovea/apps/evaluate_things.h"
#include "fovea/apps/explain_things.h"
#include "fovea/apps/network.h"
#include "fovea/apps/output.h"
#include "fovea/apps/picture_file.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/captioning/models/load_captioner.h"
#include "fovea/datasets/embedded.h"
#include "fovea/datasets/labelled_data.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/vision/draw/curves.h"
#include "fovea/vision/draw/draw.h"
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
  std::string curves;  // file to draw them into
};

// Sums over the pictures; of areas and curves.
struct MethodScore {
  std::string method;
  double deletion = 0;
  double insertion = 0;
  double randomised = 0;  // agreement with the map of the same network with random weights
  std::vector<double> deletion_curve = {};
  std::vector<double> insertion_curve = {};
};

void add_curve(std::vector<double>& sum, const std::vector<double>& curve) {
  sum.resize(curve.size());
  for (size_t i = 0; i < curve.size(); ++i) sum[i] += curve[i];
}

std::vector<double> mean_curve(std::vector<double> sum, int64_t pictures) {
  for (double& value : sum) value /= static_cast<double>(pictures);
  return sum;
}

struct Scores {
  std::vector<MethodScore> methods;
  int64_t pictures = 0;
};

Scores compare_methods(const EvaluateArguments& options, const Network& network, const Dataset& data) {
  const auto seed = static_cast<uint64_t>(options.captions.seed);
  at::manual_seed(seed);
  const auto random_module = randomised_copy(*network.model, seed);
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
      const Faithfulness faithful =
          faithfulness(*network.model, x, heat, target, {.multi_label = network.info.multi_label});
      score.deletion += faithful.deletion_area;
      score.insertion += faithful.insertion_area;
      add_curve(score.deletion_curve, faithful.deletion);
      add_curve(score.insertion_curve, faithful.insertion);
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
                                  {"insertion", score.insertion / count},
                                  {"deletion_curve", mean_curve(score.deletion_curve, scores.pictures)},
                                  {"insertion_curve", mean_curve(score.insertion_curve, scores.pictures)}};
    if (score.method != shuffled) row["randomised"] = score.randomised / count;
    answer["explain"].push_back(std::move(row));
  }
  return answer;
}

void write_curves(const EvaluateArguments& options, const Network& network, const Scores& scores) {
  CurvePanel deletion{.title = "deletion: hottest places go first",
                      .x_axis = "share of the pixels that went",
                      .y_axis = "probability of the class",
                      .range = std::array{0.0, 1.0}};
  CurvePanel insertion{.title = "insertion: hottest places come first",
                       .x_axis = "share of the pixels that came",
                       .y_axis = deletion.y_axis,
                       .range = deletion.range};
  for (const MethodScore& score : scores.methods) {
    deletion.curves.push_back({score.method, mean_curve(score.deletion_curve, scores.pictures)});
    insertion.curves.push_back({score.method, mean_curve(score.insertion_curve, scores.pictures)});
  }
  const std::string title = fmt::format("{}, means of {} pictures", network.info.name, scores.pictures);
  if (is_plot_name(options.curves)) {
    write_plot(options.curves, svg_curves({deletion, insertion}, title), options.captions.force);
  } else {
    write_picture(options.curves, encode_png(draw_curves({deletion, insertion}, title)), options.captions.force);
  }
}

void check_curves_file(const EvaluateArguments& options) {
  if (options.curves.empty()) return;
  require(!options.methods.empty(), ErrorKind::usage, "--curves: are those of --explain METHOD…");
  require(draw_available(), ErrorKind::usage, "--curves: this build of fovea has no OpenCV and cannot draw");
  check_picture_name(options.curves, options.captions.force);
}

int evaluate_labelled(const EvaluateArguments& options, const CommonOptions& common) {
  const Network network = load_network(options.network, select_runtime(common));
  require(network.runtime.dtype == at::kFloat, ErrorKind::usage, "evaluate: works in float32 alone; leave --dtype out");
  LabelledData data = open_labelled_data(options.captions.data.data, network.info.num_classes);
  const Dataset& pictures = data.test ? *data.test : *data.train;
  Scores scores;
  if (!options.methods.empty()) scores = compare_methods(options, network, pictures);
  if (stop_signal() != 0) return exit_code_of(stop_signal());
  if (!options.curves.empty()) write_curves(options, network, scores);
  prepare_for_inference(network.model->module());
  const Accuracy accuracy = evaluate(*network.model, pictures, network.info.preprocess);
  print_output(options.captions.json ? as_json(network, accuracy, scores).dump(2) + "\n"
                                     : as_table(network, accuracy, scores));
  return 0;
}

// A network that names things, where captions could be meant too.
bool names_things(const ModelOptions& model) {
  const EmbeddedCaptioner* const embedded = find_embedded_captioner(model.model);
  if (embedded != nullptr) return embedded->encoder == model.model;
  return model.model.empty() ? !model.weights.empty() : !is_captioner(model.model);
}

int run(EvaluateArguments& options, const CommonOptions& common) {
  check_curves_file(options);
  CaptionEvaluation& captions = options.captions;
  if (!is_caption_data(captions.data.data)) {
    require(captions.captions.empty(), ErrorKind::usage,
            "--captions needs --data of captions: scenes, or a .json file");
    return evaluate_labelled(options, common);
  }
  const ModelOptions& model = options.network.model;
  const bool things = is_scene_data(captions.data.data) && captions.captions.empty() && names_things(model);
  require(things || options.methods.empty(), ErrorKind::usage,
          "--explain needs --data of labelled images, or scenes and a network that names things, got {}",
          printable(captions.data.data));
  require(options.curves.empty(), ErrorKind::usage, "--curves needs --data of labelled images, got {}",
          printable(captions.data.data));
  if (things && !options.methods.empty()) {
    return explain_things(
        {.methods = options.methods, .pictures = options.pictures, .seed = captions.seed, .json = captions.json},
        options.network, captions.data, common);
  }
  if (things) return evaluate_things(options.network, captions.data, captions.json, common);
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
  app->add_option("--curves", options->curves, "Draw the curves of --explain into this file, .svg or .png")
      ->type_name("FILE");
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
