#include "fovea/vision/models/huggingface_preprocessor.h"

#include <cmath>
#include <filesystem>

#include "fovea/modules/weights/json_text.h"
#include "fovea/vision/models/json_reader.h"

namespace fovea {
namespace {

using nlohmann::json;

// {"height": 224, "width": 224}, {"shortest_edge": 256}, or 224, which `bare` says means one or the other.
struct Sides {
  int64_t height = 0, width = 0;  // both 0 for a shortest edge
  int64_t shortest = 0;
};
Sides read_sides(const JsonReader& config, const char* key, const json& value, bool bare_is_square) {
  if (!value.is_object()) {
    const int64_t side = config.integer(key, value, kMostPixels);
    return bare_is_square ? Sides{.height = side, .width = side} : Sides{.shortest = side};
  }
  const JsonReader sides{config.path, value};
  if (sides.find("shortest_edge") != nullptr) return {.shortest = sides.integer("shortest_edge", 0, kMostPixels)};
  if (sides.find("height") == nullptr || sides.find("width") == nullptr) {
    config.wrong(key, "height and width, or shortest_edge", value);
  }
  return {.height = sides.integer("height", 0, kMostPixels), .width = sides.integer("width", 0, kMostPixels)};
}

// A share whose floor(side / share) is `resized`, as preprocessing computes it back.
double crop_share(int64_t side, int64_t resized) {
  const double share = static_cast<double>(side) / static_cast<double>(resized);
  const bool exact = std::floor(static_cast<double>(side) / share) == static_cast<double>(resized);
  return exact ? share : static_cast<double>(side) / (static_cast<double>(resized) + 0.5);
}

PreprocessChanges read_preprocessor(const JsonReader& config, int64_t usual) {
  require(config.boolean("do_resize", true), ErrorKind::data, "{}: do_resize: false is not supported",
          printable(config.path));
  const json* factor = config.find("rescale_factor");
  const bool usual_scale = factor == nullptr || std::abs(config.number("rescale_factor", *factor) * 255 - 1) < 1e-6;
  require(usual_scale && config.boolean("do_rescale", true), ErrorKind::data,
          "{}: rescale_factor: only 1/255 is supported", printable(config.path));

  const bool crop = config.boolean("do_center_crop", config.find("crop_size") != nullptr);
  const json* size = config.find("size");
  const Sides resized =
      size == nullptr ? Sides{.height = usual, .width = usual} : read_sides(config, "size", *size, !crop);
  const json* window = crop ? config.find("crop_size") : nullptr;
  const Sides cropped = window != nullptr    ? read_sides(config, "crop_size", *window, true)
                        : resized.height > 0 ? resized
                                             : Sides{.height = resized.shortest, .width = resized.shortest};
  require(cropped.height > 0 && (resized.shortest == 0 || crop), ErrorKind::data,
          "{}: size: a shortest edge needs a crop_size of height and width", printable(config.path));

  PreprocessChanges changes;
  changes.size = {cropped.height, cropped.width};
  changes.crop_mode = resized.shortest > 0 ? CropMode::center : CropMode::squash;
  const int64_t resized_height = resized.shortest > 0 ? resized.shortest : resized.height;
  changes.crop_pct = crop_share(std::min(cropped.height, cropped.width), resized_height);
  const json* resample = config.find("resample");  // Pillow's numbers
  const int64_t filter = resample == nullptr ? 2 : resample->is_number_integer() ? resample->get<int64_t>() : -1;
  require(filter == 0 || filter == 2 || filter == 3, ErrorKind::data,
          "{}: resample: expected 0 (nearest), 2 (bilinear) or 3 (bicubic), got {}", printable(config.path),
          resample == nullptr ? "nothing" : resample->dump());
  changes.interpolation = filter == 0   ? Interpolation::nearest
                          : filter == 2 ? Interpolation::bilinear
                                        : Interpolation::bicubic;
  const bool normalise = config.boolean("do_normalize", true);
  const std::array<double, 3> half = {0.5, 0.5, 0.5};
  changes.mean = normalise ? config.colour("image_mean").value_or(half) : std::array{0.0, 0.0, 0.0};
  changes.std = normalise ? config.colour("image_std").value_or(half) : std::array{1.0, 1.0, 1.0};
  for (const double value : *changes.std) {
    require(value > 0, ErrorKind::data, "{}: image_std: expected numbers above 0, got {}", printable(config.path),
            value);
  }
  return changes;
}

struct PreprocessorFile {
  std::string path;  // of the last one looked for where there is none
  json root = json::object();
  bool exists = false;
};

// Which of the files beside `config` says it, in transformers' order.
PreprocessorFile find_preprocessor(const std::string& config) {
  namespace fs = std::filesystem;
  PreprocessorFile file;
  for (const bool joint : {true, false}) {
    const char* name = joint ? "processor_config.json" : "preprocessor_config.json";
    file.path = (fs::path(config).parent_path() / name).string();
    std::error_code error;
    if (!fs::exists(file.path, error)) continue;
    const json root = read_json(file.path);
    require(root.is_object(), ErrorKind::data, "{}: expected an object, got {}", printable(file.path),
            root.type_name());
    if (joint && !root.contains("image_processor")) continue;  // as older versions write it: of other things
    file.root = joint ? root["image_processor"] : root;
    require(file.root.is_object(), ErrorKind::data, "{}: image_processor: expected an object, got {}",
            printable(file.path), file.root.type_name());
    file.exists = true;
    break;
  }
  return file;
}

}  // namespace

bool has_huggingface_preprocessor(const std::string& config) {
  return find_preprocessor(config).exists;
}

PreprocessChanges read_huggingface_preprocessor(const std::string& config, int64_t side) {
  const PreprocessorFile file = find_preprocessor(config);
  return read_preprocessor({file.path, file.root}, side);
}

}  // namespace fovea
