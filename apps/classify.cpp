// fovea classify: what is on each image, by softmax over the network's classes.
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>

#include "fovea/apps/answers.h"
#include "fovea/apps/arguments.h"
#include "fovea/apps/batch.h"
#include "fovea/apps/command.h"
#include "fovea/apps/network.h"
#include "fovea/apps/output.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/shipped.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"

namespace fovea {
namespace {

constexpr size_t classify_batch = 8;  // images a forward pass

// Folding and packing costs about as much as they save on two images.
constexpr size_t worth_preparing = 3;

struct ClassifyOptions {
  NetworkOptions network;
  ImageOptions images;
  int64_t top_k = 5;
  bool json = false;
};

struct ClassifyAnswer {
  std::string path;
  std::string error;  // empty: none
  std::vector<Prediction> predictions;
  bool strange = false;  // to the default network
};

// Answers of one batch; images that cannot be read stay out of the forward pass.
std::vector<ClassifyAnswer> classify(const std::vector<std::string>& paths, const ClassifyOptions& options,
                                     const Network& network, BatchResult& result) {
  std::vector<ClassifyAnswer> answers;
  std::vector<at::Tensor> inputs;
  std::vector<size_t> read;  // answers that have an input
  for (const std::string& path : paths) {
    answers.push_back({.path = path, .error = "", .predictions = {}});
    try {
      const Image picture = load_image(path, options.images);
      answers.back().strange = options.network.model.model.empty() && has_colour(picture);
      inputs.push_back(preprocess(picture, network.info.preprocess));
      read.push_back(answers.size() - 1);
    } catch (...) {
      answers.back().error = result.add_failure(path);
    }
  }
  if (inputs.empty()) return answers;
  const at::Tensor logits = network.logits(at::stack(inputs));
  for (size_t row = 0; row < read.size(); ++row) {
    ClassifyAnswer& answer = answers[read[row]];
    try {
      answer.predictions = network.best(logits[static_cast<int64_t>(row)], options.top_k);
    } catch (...) {
      answer.error = result.add_failure(answer.path);
    }
  }
  return answers;
}

std::string as_table(const ClassifyAnswer& answer) {
  std::string text = printable(answer.path) + "\n";
  for (const Prediction& prediction : answer.predictions) {
    text += fmt::format("  {:6.2f} %  {}\n", 100 * prediction.score, prediction.label);
  }
  return text;
}

nlohmann::ordered_json as_json(const ClassifyAnswer& answer) {
  if (!answer.error.empty()) return {{"image", answer.path}, {"error", answer.error}};
  return predictions_json(answer.path, answer.predictions);
}

int run(const ClassifyOptions& options, const CommonOptions& common) {
  const Network network = load_network(options.network, select_runtime(common));
  const std::vector<std::string>& paths = options.images.paths;
  if (paths.size() >= worth_preparing) prepare_for_inference(network.model->module());

  BatchResult result(options.images.keep_going);
  auto list = nlohmann::ordered_json::array();
  bool strange = false;
  Progress progress("classify", static_cast<int64_t>(paths.size()));
  for (size_t first = 0; first < paths.size() && stop_signal() == 0; first += classify_batch) {
    const std::vector<std::string> batch(
        paths.begin() + static_cast<ptrdiff_t>(first),
        paths.begin() + static_cast<ptrdiff_t>(std::min(first + classify_batch, paths.size())));
    for (const ClassifyAnswer& answer : classify(batch, options, network, result)) {
      strange = strange || answer.strange;
      if (options.json) {
        list.push_back(as_json(answer));
      } else if (answer.error.empty()) {
        progress.clear();
        print_output(as_table(answer));
      }
    }
    progress.update(static_cast<int64_t>(first + batch.size()));
  }
  if (options.json) print_output(as_text(list));
  if (strange) warn_of_shipped_networks();
  return result.exit_code();
}

}  // namespace

Command add_classify(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("classify", "Say what is on images");
  auto options = std::make_shared<ClassifyOptions>();
  add_image_options(*app, options->images);
  add_model_options(*app, options->network.model);
  app->add_option("--labels", options->network.labels, "Names of the classes, one a line")->type_name("FILE");
  add_integer(*app, "--top-k", options->top_k, {.least = 1, .most = 1'000'000}, "Predictions for each image (5)");
  app->add_flag("--json", options->json, "Answer as JSON");
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
