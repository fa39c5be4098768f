// fovea overlay: where the network looked, drawn over each image.
#include "fovea/apps/overlay.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

#include "fovea/apps/arguments.h"
#include "fovea/apps/batch.h"
#include "fovea/apps/command.h"
#include "fovea/apps/network.h"
#include "fovea/apps/output.h"
#include "fovea/apps/picture_file.h"
#include "fovea/apps/preview.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"
#include "fovea/vision/draw/draw.h"
#include "fovea/vision/explain/gates.h"
#include "fovea/vision/explain/methods.h"

namespace fovea {
namespace {

// Attention of tokens before the gates of pixels before those of channels, which have no place in a clip's frames.
std::string usual_method(const Network& network, bool clip) {
  const PreprocessOptions& size = network.info.preprocess;
  for (const ExplainMethod& method : methods_for(*network.model, size.height, size.width)) {
    if (method.name == "attention" || method.name == "spatial") return method.name;
  }
  return clip ? "gradcam" : "channel";
}

// The class that a person means by `text`.
std::optional<int64_t> find_class(const Network& network, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto& labels = network.labels;
  const auto found = std::find(labels.begin(), labels.end(), text);
  if (found != labels.end()) return found - labels.begin();
  int64_t index = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  require(error == std::errc() && stop == text.data() + text.size() && index >= 0 && index < network.info.num_classes,
          ErrorKind::usage, "--class {}: {} has no such label, and no such index of 0…{}", printable(text),
          network.info.name, network.info.num_classes - 1);
  return index;
}

// logits [classes]
std::string prediction_line(const Network& network, const at::Tensor& logits) {
  const Prediction top = network.best(logits, 1).front();
  return fmt::format("{}: {} {:.0f} %", network.info.name, top.label, 100 * top.score);
}

Image draw_gates(const Image& image, const OverlayArguments& options, const Network& network) {
  const AttentionRecorder recorder(network.model->module());
  const auto logits = network.logits(preprocess(image, network.info.preprocess).unsqueeze(0))[0];
  return draw_bars(image, channel_gates(recorder.maps(), {.layer = options.layer}),
                   {.title = prediction_line(network, logits)});
}

Image draw(const std::string& path, const OverlayArguments& options, const Network& network) {
  const Image image = load_image(path, options.images);
  if (options.method == "channel") return draw_gates(image, options, network);
  const Look look = look_over(image, options, network);
  return draw_heat(image, look.heat, look.drawing);
}

// What --method takes: the methods of the library, and the gates of channels, which have no place in the picture.
std::vector<ExplainMethod> drawn_methods() {
  std::vector<ExplainMethod> methods = explain_methods();
  methods.push_back({.name = "channel", .summary = "gates of SE and CBAM as bars", .layer = true});
  return methods;
}

void check_method(const OverlayArguments& options, bool clip) {
  for (const ExplainMethod& method : drawn_methods()) {
    if (method.name != options.method) continue;
    const auto refuse = [&](bool given, bool taken, const char* option) {
      require(!given || taken, ErrorKind::usage, "--method {} takes no {}; leave it out", method.name, option);
    };
    refuse(!options.layer.empty(), method.layer, "--layer");
    refuse(options.head.has_value(), method.head, "--head");
    refuse(options.query.has_value(), method.query, "--query");
    refuse(!options.target.empty(), method.target, "--class");
    refuse(options.contours, method.name != "channel", "--contours");
    refuse(clip, method.name != "channel", "clip");
  }
}

int run(OverlayArguments options, const CommonOptions& common) {
  const bool clip = is_of_clip(options);
  check_method(options, clip);
  require(draw_available(), ErrorKind::usage, "overlay: this build of fovea has no OpenCV and cannot draw");
  const Network network = load_network(options.network, select_runtime(common));
  if (options.method.empty()) {
    options.method = usual_method(network, clip);
    check_method(options, clip);
  }
  require(!clip || !options.preview, ErrorKind::usage, "--preview shows pictures, not clips; leave it out");
  if (clip) return overlay_clip(options, network);
  const auto names = picture_names(options.output, "." + options.method + ".png", options.images.paths);
  make_folder(options.output);

  BatchResult result(options.images.keep_going);
  Progress progress("overlay", static_cast<int64_t>(names.size()));
  for (size_t i = 0; i < names.size() && stop_signal() == 0; ++i) {
    try {
      const Image picture = draw(options.images.paths[i], options, network);
      write_picture(names[i], encode_png(picture), options.force);
      progress.clear();
      print_output(printable(names[i]) + "\n");
      if (options.preview) print_output(preview_of(picture));
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::usage) throw;  // would be the same for every image
      result.add_failure(options.images.paths[i]);
    } catch (...) {
      result.add_failure(options.images.paths[i]);
    }
    progress.update(static_cast<int64_t>(i + 1));
  }
  return result.exit_code();
}

}  // namespace

Look look_over(const Image& image, const OverlayArguments& options, const Network& network) {
  const PreprocessOptions& size = network.info.preprocess;
  const auto x = preprocess(image, size).unsqueeze(0).to(network.runtime.device, network.runtime.dtype);
  const auto target = find_class(network, options.target);
  Explanation seen = explain(*network.model, x,
                             {.method = options.method,
                              .layer = options.layer,
                              .head = options.head,
                              .query = options.query,
                              .target = target});
  if (target) seen.heat.detail += (seen.heat.detail.empty() ? "for " : ", for ") + network.label(*target);
  return {.heat = plain_heat(seen.heat, "overlay"),
          .drawing = {.title = prediction_line(network, seen.logits),
                      .seen = crop_geometry(image.width, image.height, size).in_original(),
                      .contours = options.contours}};
}

Command add_overlay(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("overlay", "Draw where the network looked over images, a clip or a camera");
  auto options = std::make_shared<OverlayArguments>();
  add_image_options(*app, options->images);
  app->get_option("IMAGE")->description("Image files, or one clip (MP4, Matroska, WebM, AVI)")->required(false);
  app->add_option("--camera", options->camera,
                  "In place of images: a number, a device (/dev/video0) or a stream; until --seconds or Ctrl-C")
      ->type_name("NAME");
  app->add_option("--output", options->output,
                  "Folder for <image>.<method>.png; of a clip or camera the clip to write: .mp4, .mkv or .avi")
      ->required()
      ->type_name("PATH");
  add_positive(*app, "--seconds", options->seconds, "Of a clip the first so many alone; of a camera (10)");
  std::vector<std::string> names;
  std::string help = "How to look; unless given the first of attention, spatial, channel that the network has.";
  for (const ExplainMethod& method : drawn_methods()) {
    names.push_back(method.name);
    help += "\n" + method.name + ": " + method.summary;
  }
  app->add_option("--method", options->method, help)->check(CLI::IsMember(names))->type_name("METHOD");
  app->add_option("--layer", options->layer,
                  "Index (-1 is the last) or path of the attention layer; the last unless given. Of the CAM methods "
                  "the path of a norm or stage")
      ->type_name("L");
  add_integer(*app, "--head", options->head, {.least = 0}, "One head from 0; the mean of all unless given");
  add_integer(*app, "--query", options->query, {.least = 0},
              "The token whose view is drawn, CLS and its kin counted first; CLS or the mean of all unless given");
  app->add_option("--class", options->target, "Label or index of the class asked about; the most likely unless given")
      ->type_name("CLASS");
  app->add_flag("--contours", options->contours,
                "Lines where the map is at a quarter, half and three quarters of its scale");
  app->add_flag("--preview", options->preview, "Show each picture in the terminal too, in coloured half blocks");
  app->add_flag("--force", options->force, "Replace files that were not written by this command");
  add_model_options(*app, options->network.model);
  app->add_option("--labels", options->network.labels, "Names of the classes, one a line")->type_name("FILE");
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
