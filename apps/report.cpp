// fovea report: one page of HTML with predictions, every map that the network has, and how far to trust them.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "fovea/apps/arguments.h"
#include "fovea/apps/batch.h"
#include "fovea/apps/command.h"
#include "fovea/apps/network.h"
#include "fovea/apps/output.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/captioning/models/caption.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/draw/draw.h"
#include "fovea/vision/draw/report.h"
#include "fovea/vision/explain/methods.h"

namespace fovea {
namespace {

struct ReportArguments {
  NetworkOptions network;
  ImageOptions images;
  std::string captioner;  // folder
  int64_t beams = 3;
  std::string output;
  int64_t top_k = 5;
  bool no_scores = false;
  bool force = false;
};

// The page shows layers, heads and points of plain attention itself.
bool shown_by_layers(const std::string& method) {
  return method == "attention" || method == "gradient-attention";
}

// What looks at the pictures: a network that classifies, one that writes, or both.
struct Viewers {
  std::optional<Network> network;
  std::vector<ExplainMethod> methods;
  std::optional<LoadedCaptioner> captioner;
  Runtime runtime;
};

Viewers load_viewers(const ReportArguments& options, const Runtime& runtime) {
  Viewers viewers{.runtime = runtime};
  if (options.captioner.empty() || !options.network.model.model.empty()) {
    viewers.network = load_network(options.network, runtime);
    const PreprocessOptions& size = viewers.network->info.preprocess;
    viewers.methods = methods_for(*viewers.network->model, size.height, size.width);
  }
  if (!options.captioner.empty()) {
    viewers.captioner = load_captioner(options.captioner);
    torch::nn::Module& module = viewers.captioner->model->module();
    if (!runtime.device.is_cpu() || runtime.dtype != at::kFloat) module.to(runtime.device, runtime.dtype);
  }
  return viewers;
}

void write_words(ReportImage& report, const ReportArguments& options, const LoadedCaptioner& captioner,
                 const Runtime& runtime) {
  const c10::InferenceMode inference;
  const auto x = preprocess(report.picture, captioner.preprocess).unsqueeze(0).to(runtime.device, runtime.dtype);
  const auto captions = caption(captioner, x, {.generation = {.max_length = 0, .beams = options.beams}, .maps = true});
  report.captioner = captioner.name;
  report.words_seen = crop_geometry(report.picture.width, report.picture.height, captioner.preprocess).in_original();
  for (const CaptionWord& word : captions.front().front().words) {
    report.words.push_back({.text = printable(word.text),
                            .map = {.values = word.heat.clone(),
                                    .method = "caption",
                                    .detail = fmt::format("where \"{}\" was read", printable(word.text)),
                                    .unit = "attention weight"}});
  }
}

void classify(ReportImage& report, const ReportArguments& options, const Network& network,
              const std::vector<ExplainMethod>& methods) {
  const PreprocessOptions& size = network.info.preprocess;
  report.model = network.info.name;
  report.seen = crop_geometry(report.picture.width, report.picture.height, size).in_original();
  const auto x = preprocess(report.picture, size).unsqueeze(0).to(network.runtime.device, network.runtime.dtype);
  Evidence evidence = gather_evidence(*network.model, x);
  for (Prediction& one : network.best(evidence.logits[0], options.top_k)) {
    report.predictions.push_back({.label = std::move(one.label), .score = one.score});
  }
  report.maps = std::move(evidence.maps);
  for (const ExplainMethod& method : methods) {
    if (shown_by_layers(method.name) || stop_signal() != 0) continue;
    ReportHeat heat{.map = explain(*network.model, x, {.method = method.name}).heat, .summary = method.summary};
    if (!options.no_scores) {
      heat.score = faithfulness(*network.model, x, heat.map.values, evidence.targets[0]);
    }
    report.heats.push_back(std::move(heat));
  }
}

ReportImage look_at(const std::string& path, const ReportArguments& options, const Viewers& viewers) {
  ReportImage report{.name = printable(std::filesystem::path(path).filename().string()),
                     .picture = load_image(path, options.images)};
  if (viewers.network) classify(report, options, *viewers.network, viewers.methods);
  if (viewers.captioner) write_words(report, options, *viewers.captioner, viewers.runtime);
  return report;
}

bool is_own_report(const std::string& path) {
  std::string beginning(100, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  return is_html_report(beginning);
}

int run(const ReportArguments& options, const CommonOptions& common) {
  require(draw_available(), ErrorKind::usage, "report: this build of fovea has no OpenCV and cannot draw");
  for (const std::string& path : options.images.paths) check_not_input(options.output, path);
  check_replaceable(options.output, options.force, is_own_report);
  const Viewers viewers = load_viewers(options, select_runtime(common));

  BatchResult result(options.images.keep_going);
  std::vector<ReportImage> images;
  Progress progress("report", static_cast<int64_t>(options.images.paths.size()));
  for (size_t i = 0; i < options.images.paths.size() && stop_signal() == 0; ++i) {
    try {
      images.push_back(look_at(options.images.paths[i], options, viewers));
    } catch (...) {
      result.add_failure(options.images.paths[i]);
    }
    progress.update(static_cast<int64_t>(i + 1));
  }
  if (stop_signal() != 0 || images.empty()) return result.exit_code();
  const std::string name = viewers.network ? viewers.network->info.name : viewers.captioner->name;
  const std::string about = fmt::format("{}, {} {}, written by fovea " FOVEA_VERSION ".", name, images.size(),
                                        images.size() == 1 ? "picture" : "pictures");
  write_file(options.output, html_report(about, images));
  progress.clear();
  print_output(printable(options.output) + "\n");
  return result.exit_code();
}

}  // namespace

Command add_report(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("report", "Write one page that shows predictions and maps, to play with");
  auto options = std::make_shared<ReportArguments>();
  add_image_options(*app, options->images);
  app->add_option("--output", options->output, "The page, one HTML file")->required()->type_name("FILE");
  app->add_option("--captioner", options->captioner,
                  "A folder of a captioner: its words, and where each was read; without --model nothing is classified")
      ->type_name("DIR");
  add_integer(*app, "--beams", options->beams, {.least = 1, .most = 1000}, "Beams of the captioner's search (3)");
  add_integer(*app, "--top-k", options->top_k, {.least = 1, .most = 1000}, "Predictions for each image (5)");
  app->add_flag("--no-scores", options->no_scores, "Leave out how faithful each map is, which takes most of the time");
  app->add_flag("--force", options->force, "Replace a file that was not written by this command");
  add_model_options(*app, options->network.model);
  app->add_option("--labels", options->network.labels, "Names of the classes, one a line")->type_name("FILE");
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
