// fovea overlay: where the network looked, drawn over each image.
#include <zlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

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
#include "fovea/vision/explain/attention_heat.h"
#include "fovea/vision/explain/rollout.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

struct OverlayArguments {
  NetworkOptions network;
  ImageOptions images;
  std::string method;  // empty: what the network has
  std::string layer;
  std::optional<int64_t> head;
  std::string output;
  bool force = false;
};

// A tEXt chunk after the header of the PNG says who wrote it; files without it are not replaced unasked.
constexpr size_t png_header = 33;  // bytes: signature and IHDR

std::string origin_chunk() {
  const auto big_endian = [](uint32_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xFF);
    return bytes;
  };
  const std::string content = std::string("Software\0fovea", 14);
  const std::string body = "tEXt" + content;
  const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<uint32_t>(content.size())) + body + big_endian(static_cast<uint32_t>(sum));
}

bool is_own_overlay(const std::string& path) {
  const std::string chunk = origin_chunk();
  std::string head(png_header + chunk.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  return file.good() && head.starts_with("\x89PNG") && head.ends_with(chunk);
}

// Which picture each image becomes. Two images of one name would overwrite each other.
std::vector<std::string> output_names(const OverlayArguments& options) {
  std::vector<std::string> names;
  std::map<std::string, std::string> taken;
  for (const std::string& path : options.images.paths) {
    const std::string name =
        (fs::path(options.output) / fs::path(path).stem()).string() + "." + options.method + ".png";
    const auto [other, fresh] = taken.emplace(name, path);
    require(fresh || other->second == path, ErrorKind::usage, "{} and {} would both be written to {}",
            printable(other->second), printable(path), printable(name));
    names.push_back(name);
  }
  for (const std::string& name : names) {
    for (const std::string& path : options.images.paths) check_not_input(name, path);
  }
  return names;
}

void make_folder(const std::string& path) {
  std::error_code error;
  require(!fs::exists(path, error) || fs::is_directory(path, error), ErrorKind::io, "{}: is no folder",
          printable(path));
  fs::create_directory(path, error);
  require(!error, ErrorKind::io, "{}: {}", printable(path), error.message());
}

// Attention of tokens before the gates of pixels before those of channels, as a picture without content shows it.
std::string usual_method(const Network& network) {
  const AttentionRecorder recorder(network.model->module(), {.queries = {0}});
  network.logits(at::zeros({1, 3, network.info.preprocess.height, network.info.preprocess.width}));
  const auto has = [&](MapKind kind) {
    return std::any_of(recorder.maps().begin(), recorder.maps().end(),
                       [&](const auto& map) { return map.kind == kind; });
  };
  return has(MapKind::tokens) ? "attention" : has(MapKind::spatial) ? "spatial" : "channel";
}

// The rows of attention that the picture needs: CLS where there is one, and all for rollout and for windows.
std::vector<int64_t> rows_needed(const OverlayArguments& options, const Network& network) {
  const PreprocessOptions& size = network.info.preprocess;
  const bool cls = options.method == "attention" && network.model->grid(size.height, size.width).prefix > 0;
  return cls ? std::vector<int64_t>{0} : std::vector<int64_t>();
}

HeatMap heat_of(const std::vector<AttentionMap>& maps, const OverlayArguments& options) {
  if (options.method == "rollout") return rollout(maps, {.head = options.head});
  if (options.method == "spatial") return spatial_gates(maps, {.layer = options.layer});
  return attention_heat(maps, {.layer = options.layer, .head = options.head});
}

std::string prediction_line(const Network& network, const at::Tensor& logits) {
  require(at::isfinite(logits).all().item<bool>(), ErrorKind::numeric,
          "the network answers with NaN or infinite values");
  const auto [score, index] = at::softmax(logits[0], 0).max(0);
  return fmt::format("{}: {} {:.0f} %", network.info.name, network.label(index.item<int64_t>()),
                     100 * score.item<double>());
}

std::string explain(const std::string& path, const OverlayArguments& options, const Network& network) {
  const Image image = load_image(path, options.images);
  const PreprocessOptions& size = network.info.preprocess;
  const AttentionRecorder recorder(network.model->module(), {.queries = rows_needed(options, network)});
  const std::string title = prediction_line(network, network.logits(preprocess(image, size).unsqueeze(0)));
  if (options.method == "channel") {
    return encode_png(draw_bars(image, channel_gates(recorder.maps(), {.layer = options.layer}), {.title = title}));
  }
  const Rectangle seen = crop_geometry(image.width, image.height, size).in_original();
  return encode_png(draw_overlay(image, heat_of(recorder.maps(), options), {.title = title, .seen = seen}));
}

void check_method(const OverlayArguments& options) {
  const bool gates = options.method == "channel" || options.method == "spatial";
  require(!gates || !options.head, ErrorKind::usage, "--method {} has no heads; leave --head out", options.method);
  require(options.method != "rollout" || options.layer.empty(), ErrorKind::usage,
          "--method rollout joins all layers; leave --layer out");
}

int run(OverlayArguments options, const CommonOptions& common) {
  check_method(options);
  require(draw_available(), ErrorKind::usage, "overlay: this build of fovea has no OpenCV and cannot draw");
  const Network network = load_network(options.network, select_runtime(common));
  if (options.method.empty()) {
    options.method = usual_method(network);
    check_method(options);
  }
  const std::vector<std::string> names = output_names(options);
  make_folder(options.output);

  BatchResult result(options.images.keep_going);
  Progress progress("overlay", static_cast<int64_t>(names.size()));
  for (size_t i = 0; i < names.size() && stop_signal() == 0; ++i) {
    try {
      check_replaceable(names[i], options.force, is_own_overlay);
      std::string png = explain(options.images.paths[i], options, network);
      png.insert(png_header, origin_chunk());
      write_file(names[i], png);
      progress.clear();
      print_output(printable(names[i]) + "\n");
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

Command add_overlay(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("overlay", "Draw where the network looked over images");
  auto options = std::make_shared<OverlayArguments>();
  add_image_options(*app, options->images);
  app->add_option("--output", options->output, "Folder for <image>.<method>.png")->required()->type_name("DIR");
  app->add_option("--method", options->method,
                  "attention, rollout (all layers followed), spatial or channel (gates); unless given the first of "
                  "attention, spatial, channel that the network has")
      ->check(CLI::IsMember({"attention", "rollout", "channel", "spatial"}))
      ->type_name("METHOD");
  app->add_option("--layer", options->layer,
                  "Index (-1 is the last) or path of the attention layer; the last unless given")
      ->type_name("L");
  add_integer(*app, "--head", options->head, {.least = 0}, "One head from 0; the mean of all unless given");
  app->add_flag("--force", options->force, "Replace files that were not written by this command");
  add_model_options(*app, options->network.model);
  app->add_option("--labels", options->network.labels, "Names of the classes, one a line")->type_name("FILE");
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
