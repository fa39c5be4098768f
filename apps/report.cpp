// fovea report: one page of HTML with predictions, every map that the network has, and how far to trust them.
#include <ATen/ATen.h>

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
  std::string output;
  int64_t top_k = 5;
  bool no_scores = false;
  bool force = false;
};

// The page shows layers, heads and points of plain attention itself.
bool shown_by_layers(const std::string& method) {
  return method == "attention" || method == "gradient-attention";
}

ReportImage look_at(const std::string& path, const ReportArguments& options, const Network& network,
                    const std::vector<ExplainMethod>& methods) {
  const PreprocessOptions& size = network.info.preprocess;
  ReportImage report{.name = printable(std::filesystem::path(path).filename().string()),
                     .model = network.info.name,
                     .picture = load_image(path, options.images)};
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
  const Network network = load_network(options.network, select_runtime(common));
  const PreprocessOptions& size = network.info.preprocess;
  const auto methods = methods_for(*network.model, size.height, size.width);

  BatchResult result(options.images.keep_going);
  std::vector<ReportImage> images;
  Progress progress("report", static_cast<int64_t>(options.images.paths.size()));
  for (size_t i = 0; i < options.images.paths.size() && stop_signal() == 0; ++i) {
    try {
      images.push_back(look_at(options.images.paths[i], options, network, methods));
    } catch (...) {
      result.add_failure(options.images.paths[i]);
    }
    progress.update(static_cast<int64_t>(i + 1));
  }
  if (stop_signal() != 0 || images.empty()) return result.exit_code();
  const std::string about = fmt::format("{}, {} {}, written by fovea " FOVEA_VERSION ".", network.info.name,
                                        images.size(), images.size() == 1 ? "picture" : "pictures");
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
  add_integer(*app, "--top-k", options->top_k, {.least = 1, .most = 1000}, "Predictions for each image (5)");
  app->add_flag("--no-scores", options->no_scores, "Leave out how faithful each map is, which takes most of the time");
  app->add_flag("--force", options->force, "Replace a file that was not written by this command");
  add_model_options(*app, options->network.model);
  app->add_option("--labels", options->network.labels, "Names of the classes, one a line")->type_name("FILE");
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
