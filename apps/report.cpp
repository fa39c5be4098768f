// fovea report: one page of HTML with predictions, every map that the network has, and how far to trust them.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "fovea/apps/arguments.h"
#include "fovea/apps/batch.h"
#include "fovea/apps/captioner.h"
#include "fovea/apps/command.h"
#include "fovea/apps/look.h"
#include "fovea/apps/output.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/draw/draw.h"

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

// What looks at the pictures: a network that classifies, one that writes, or both.
struct Viewers {
  std::optional<Network> network;
  LookOptions look;
  std::optional<LoadedCaptioner> captioner;
  Runtime runtime;
};

Viewers load_viewers(const ReportArguments& options, const Runtime& runtime) {
  Viewers viewers{.look = {.top_k = options.top_k, .scores = !options.no_scores}, .runtime = runtime};
  if (options.captioner.empty() || !options.network.model.model.empty()) {
    viewers.network = load_network(options.network, runtime);
    viewers.look.methods = methods_to_show(*viewers.network);
  }
  if (!options.captioner.empty()) viewers.captioner = open_captioner(options.captioner, "", runtime);
  return viewers;
}

ReportImage show(const std::string& path, const ReportArguments& options, const Viewers& viewers) {
  ReportImage report{.name = printable(std::filesystem::path(path).filename().string()),
                     .picture = load_image(path, options.images)};
  if (viewers.network) look_at(report, *viewers.network, viewers.look);
  if (viewers.captioner) read_words(report, *viewers.captioner, viewers.runtime, options.beams);
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
      images.push_back(show(options.images.paths[i], options, viewers));
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
