// fovea inspect --attention: what each head of a network does on an image, as a table, JSON and pictures.
#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>

#include "fovea/apps/answers.h"
#include "fovea/apps/batch.h"
#include "fovea/apps/inspect.h"
#include "fovea/apps/output.h"
#include "fovea/apps/picture_file.h"
#include "fovea/modules/error.h"
#include "fovea/vision/draw/draw.h"
#include "fovea/vision/draw/tiles.h"
#include "fovea/vision/draw/token_map.h"
#include "fovea/vision/explain/attention_heat.h"
#include "fovea/vision/explain/flow.h"
#include "fovea/vision/explain/head_profile.h"

namespace fovea {
namespace {

struct Inspection {
  std::vector<AttentionMap> maps;
  std::vector<LayerProfile> layers;
  std::vector<std::string> warnings;
  std::vector<std::string> pictures;
};

std::string cell(double value, int decimals) {
  return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, decimals);
}

std::string notes(const LayerProfile& layer, const HeadProfile& head) {
  if (!layer.finite) return "NaN";
  std::string text = name(head.kind);
  if (head.idle) text += ", idle";
  if (head.twin) text += fmt::format(", like head {}", *head.twin);
  if (head.saturated > 0.5) text += ", saturated";
  return text;
}

std::string as_table(const Inspection& found, const InspectArguments& arguments, const Network& network) {
  const PreprocessOptions& size = network.info.preprocess;
  size_t longest = 5;
  for (const LayerProfile& layer : found.layers) longest = std::max(longest, layer.path.size());
  std::string text = fmt::format(
      "{} on {}, {}x{} pixels\n\n{:<{}} head  entropy  distance    CLS  registers  saturated  what it does\n",
      network.info.name, printable(arguments.attention), size.height, size.width, "layer", longest);
  for (const LayerProfile& layer : found.layers) {
    for (size_t h = 0; h < layer.heads.size(); ++h) {
      const HeadProfile& head = layer.heads[h];
      text += fmt::format("{:<{}} {:>4}  {:>7}  {:>8}  {:>5}  {:>9}  {:>9}  {}\n", h == 0 ? layer.path : "", longest, h,
                          cell(head.entropy, 3), cell(head.distance, 1), cell(head.first, 3), cell(head.registers, 3),
                          cell(head.saturated, 3), notes(layer, head));
    }
    if (!std::isnan(layer.even_distance)) {
      text += fmt::format("{:<{}} even {:>9}  {:>8}\n", "", longest, "1.000", cell(layer.even_distance, 1));
    }
  }
  text +=
      "\nentropy: 0 looks at one token, 1 at all alike. distance: pixels, weighted; `even` is that of looking at all\n"
      "alike. CLS, registers: the weight that patches give them. saturated: rows with one weight above 0.999.\n";
  for (const std::string& line : found.warnings) text += "warning: " + line + "\n";
  return text;
}

// Layers × heads of one measure; empty where no head has it.
std::optional<MatrixPanel> panel_of(const std::vector<LayerProfile>& layers, const std::string& title,
                                    const std::string& unit, double HeadProfile::*measure) {
  MatrixPanel panel{.title = title, .rows = std::ssize(layers), .unit = unit};
  for (const LayerProfile& layer : layers) panel.columns = std::max(panel.columns, std::ssize(layer.heads));
  panel.values.assign(panel.rows * panel.columns, std::nan(""));
  bool any = false;
  for (int64_t row = 0; row < panel.rows; ++row) {
    panel.row_labels.push_back(layers[row].path);
    for (size_t h = 0; h < layers[row].heads.size(); ++h) {
      const double value = layers[row].heads[h].*measure;
      panel.values[row * panel.columns + static_cast<int64_t>(h)] = value;
      any = any || !std::isnan(value);
    }
  }
  for (int64_t head = 0; head < panel.columns; ++head) panel.column_labels.push_back(std::to_string(head));
  return any ? std::optional(panel) : std::nullopt;
}

std::vector<MatrixPanel> panels_of(const std::vector<LayerProfile>& layers) {
  std::vector<MatrixPanel> panels;
  const auto add = [&](const char* title, const char* unit, double HeadProfile::*measure) {
    if (auto panel = panel_of(layers, title, unit, measure)) panels.push_back(std::move(*panel));
  };
  add("entropy", "normalised entropy", &HeadProfile::entropy);
  add("attention distance", "pixels", &HeadProfile::distance);
  add("weight on CLS", "attention weight", &HeadProfile::first);
  add("weight on registers", "attention weight", &HeadProfile::registers);
  if (panels.front().unit == "normalised entropy") panels.front().range = {0.0, 1.0};
  return panels;
}

// The tokens of one layer against each other: the mean of its heads, then each; of windows the mean of all.
std::vector<MatrixPanel> tokens_of(const AttentionMap& map) {
  const bool windows = map.window > 0;
  const at::Tensor weights = windows ? of_image(map, map.weights, 0).mean(0) : of_image(map, map.weights, 0);
  const std::vector<std::string> names =
      token_names(windows ? TokenGrid{.height = map.window, .width = map.window_width} : map.grid);
  TokenMapOptions options;
  if (std::ssize(names) == weights.size(1)) options.targets = names;
  if (std::ssize(names) == weights.size(2)) options.sources = names;
  std::vector<MatrixPanel> panels = token_panels(weights, options);
  options.each_head = true;
  for (MatrixPanel& panel : token_panels(weights, options)) panels.push_back(std::move(panel));
  return panels;
}

// Each head of each layer: the view of CLS; of windows, and where there is no CLS, the mean of all. Maps of NaN, and
// those whose keys are no places of the picture, are left out.
std::vector<TileRow> views_of(const std::vector<AttentionMap>& maps) {
  std::vector<TileRow> rows;
  for (const AttentionMap& map : maps) {
    const int64_t places = map.grid.prefix + map.grid.height * map.grid.width;
    const bool on_grid = map.kind == MapKind::tokens && (map.window > 0 || map.weights.size(3) == places);
    if (!on_grid || !at::isfinite(map.weights).all().item<bool>()) continue;
    TileRow row{.label = map.path, .tiles = {}};
    for (int64_t head = 0; head < map.weights.size(1); ++head) {
      row.tiles.push_back(plain_heat(attention_heat({map}, {.head = head}), "inspect"));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

// <image>.<kind>.png and .svg
void write_both(Inspection& found, const InspectArguments& arguments, const std::string& kind, const Image& picture,
                const std::string& plot) {
  const auto named = [&](const char* ending) {
    return picture_names(arguments.output, "." + kind + ending, {arguments.attention}).front();
  };
  make_folder(arguments.output);
  found.pictures.push_back(named(".png"));
  write_picture(found.pictures.back(), encode_png(picture), arguments.force);
  found.pictures.push_back(named(".svg"));
  write_plot(found.pictures.back(), plot, arguments.force);
}

void write_pictures(Inspection& found, const InspectArguments& arguments, const Network& network) {
  const auto write = [&](const std::string& kind, const std::vector<MatrixPanel>& panels,
                         const MatrixOptions& options) {
    write_both(found, arguments, kind, draw_matrices(panels, options), svg_matrices(panels, options));
  };
  const std::string image = printable(std::filesystem::path(arguments.attention).filename().string());
  const std::string title = fmt::format("{} on {}", network.info.name, image);
  write("heads", panels_of(found.layers), {.title = title, .x_axis = "head", .y_axis = "layer"});
  const TileOptions tiles = {.title = title, .x_axis = "head", .y_axis = "layer", .unit = "attention weight"};
  const std::vector<TileRow> views = views_of(found.maps);
  if (!views.empty()) write_both(found, arguments, "views", draw_tiles(views, tiles), svg_tiles(views, tiles));
  if (arguments.layer.empty()) return;
  const AttentionMap& map = select_map(found.maps, MapKind::tokens, arguments.layer);
  const std::string what = map.window > 0 ? ", mean of windows" : "";
  write("tokens", tokens_of(map),
        {.title = fmt::format("{}, {}{}", title, map.path, what), .x_axis = kSourceAxis, .y_axis = kTargetAxis});
}

}  // namespace

int inspect_attention(const InspectArguments& arguments, const CommonOptions& common) {
  require(arguments.layer.empty() || !arguments.output.empty(), ErrorKind::usage,
          "--layer draws: it needs --output DIR");
  require(arguments.output.empty() || draw_available(), ErrorKind::usage,
          "--output: this build of fovea has no OpenCV and cannot draw");
  const Network network = load_network(arguments.network, select_runtime(common));
  const PreprocessOptions& size = network.info.preprocess;
  const Image image = load_image(arguments.attention, arguments.decoding);
  Inspection found;
  {
    const AttentionRecorder recorder(network.model->module());
    network.logits(preprocess(image, size).unsqueeze(0));
    found.maps = recorder.maps();
  }
  found.layers = profile_heads(found.maps, size.height, size.width);
  found.warnings = health_warnings(found.layers);
  if (!arguments.output.empty()) write_pictures(found, arguments, network);
  if (arguments.json) {
    auto answer = attention_json(arguments.attention, network.info, found.layers);
    answer["pictures"] = found.pictures;
    print_output(as_text(answer));
    return 0;
  }
  print_output(as_table(found, arguments, network));
  for (const std::string& path : found.pictures) print_output(printable(path) + "\n");
  return 0;
}

}  // namespace fovea
