#include "fovea/vision/models/huggingface_config.h"

#include <cmath>
#include <filesystem>

#include "fovea/modules/weights/json_text.h"
#include "fovea/vision/models/swin.h"
#include "fovea/vision/models/vit.h"

namespace fovea {
namespace {

using nlohmann::json;

constexpr int64_t kMostWidth = 1 << 16;  // of anything in a network
constexpr int64_t kMostPixels = 16'384;
constexpr int64_t kMostClasses = 10'000'000;

// 224, or [224,224].
int64_t square(const JsonReader& config, const char* key, int64_t usual) {
  const json* value = config.find(key);
  if (value == nullptr || !value->is_array()) return config.integer(key, usual, kMostPixels);
  const bool pair = value->size() == 2 && (*value)[0] == (*value)[1];
  if (!pair) config.wrong(key, "one side, or two equal ones", *value);
  return config.integer(key, (*value)[0], kMostPixels);
}

std::vector<int64_t> integers(const JsonReader& config, const char* key, std::vector<int64_t> usual) {
  const json* value = config.find(key);
  if (value == nullptr) return usual;
  if (!value->is_array() || value->empty() || value->size() > 16) config.wrong(key, "a list of integers", *value);
  std::vector<int64_t> numbers;
  for (const json& number : *value) numbers.push_back(config.integer(key, number, kMostWidth));
  return numbers;
}

void expect_plain(const JsonReader& config) {
  const json* activation = config.find("hidden_act");
  const std::string name = activation == nullptr ? "gelu" : config.text("hidden_act", *activation);
  require(name == "gelu", ErrorKind::data, "{}: hidden_act: \"{}\" is not supported, only gelu", printable(config.path),
          printable(name));
}

bool is_classifier(const JsonReader& config) {
  const json* names = config.find("architectures");
  if (names == nullptr || !names->is_array() || names->empty()) return true;
  return config.text("architectures", (*names)[0]).find("ForImageClassification") != std::string::npos;
}

// id2label is {"0": "cat", …} in any order.
std::vector<std::string> read_labels(const JsonReader& config) {
  const json* names = config.find("id2label");
  if (names == nullptr) return {};
  if (!names->is_object()) config.wrong("id2label", "an object", *names);
  std::vector<std::string> labels(names->size());
  for (const auto& [id, name] : names->items()) {
    const bool number = !id.empty() && id.size() < 9 && id.find_first_not_of("0123456789") == std::string::npos;
    const size_t index = number ? std::stoul(id) : labels.size();
    require(index < labels.size(), ErrorKind::data, "{}: id2label: \"{}\" is no class of {}", printable(config.path),
            printable(id), labels.size());
    labels[index] = config.text("id2label", name);
  }
  return labels;
}

bool are_placeholders(const std::vector<std::string>& labels) {
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] != fmt::format("LABEL_{}", i)) return false;
  }
  return true;
}

VitOptions vit_options(const JsonReader& config) {
  const int64_t dim = config.integer("hidden_size", 768, kMostWidth);
  return {.image_size = square(config, "image_size", 224),
          .patch = square(config, "patch_size", 16),
          .dim = dim,
          .depth = config.integer("num_hidden_layers", 12, kMostWidth),
          .heads = config.integer("num_attention_heads", 12, kMostWidth),
          .mlp_ratio =
              static_cast<double>(config.integer("intermediate_size", 3072, kMostWidth)) / static_cast<double>(dim),
          .in_channels = config.integer("num_channels", 3, kMostWidth),
          .qkv_bias = config.boolean("qkv_bias", true)};
}

SwinOptions swin_options(const JsonReader& config) {
  require(!config.boolean("use_absolute_embeddings", false), ErrorKind::data,
          "{}: use_absolute_embeddings is not supported", printable(config.path));
  const json* ratio = config.find("mlp_ratio");
  return {.image_size = square(config, "image_size", 224),
          .patch = square(config, "patch_size", 4),
          .window = config.integer("window_size", 7, kMostWidth),
          .dim = config.integer("embed_dim", 96, kMostWidth),
          .depths = integers(config, "depths", {2, 2, 6, 2}),
          .heads = integers(config, "num_heads", {3, 6, 12, 24}),
          .mlp_ratio = ratio == nullptr ? 4.0 : config.number("mlp_ratio", *ratio),
          .in_channels = config.integer("num_channels", 3, kMostWidth),
          .qkv_bias = config.boolean("qkv_bias", true)};
}

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

PreprocessChanges preprocessing_beside(const std::string& config, int64_t side) {
  namespace fs = std::filesystem;
  const std::string path = (fs::path(config).parent_path() / "preprocessor_config.json").string();
  std::error_code error;
  const json root = fs::exists(path, error) ? read_json(path) : json::object();
  require(root.is_object(), ErrorKind::data, "{}: expected an object, got {}", printable(path), root.type_name());
  return read_preprocessor({path, root}, side);
}

// The model of these options, with what the caller wants instead.
template <typename Impl, typename Options>
NamedModel build(const ModelConfig& config, const std::string& family, Options options, const ModelArgs& args) {
  options.num_classes = args.num_classes.value_or(*config.num_classes);
  options.in_channels = args.in_channels.value_or(options.in_channels);
  options.image_size = args.image_size.value_or(options.image_size);
  NamedModel named;
  named.info = {.name = config.architecture, .family = family, .num_classes = options.num_classes};
  named.info.preprocess = config.preprocess.applied_to({});
  named.model = std::make_shared<Impl>(options);
  return named;
}

}  // namespace

ModelConfig read_huggingface_config(const JsonReader& reader) {
  ModelConfig config;
  config.architecture = reader.text("model_type", *reader.find("model_type"));
  const std::string& type = config.architecture;
  require(type == "vit" || type == "deit" || type == "swin", ErrorKind::data,
          "{}: model_type: \"{}\" is not supported; known are vit, deit, swin", printable(reader.path),
          printable(type));
  expect_plain(reader);
  config.labels = read_labels(reader);
  const auto labelled = static_cast<int64_t>(config.labels.size());
  config.num_classes =
      is_classifier(reader) ? reader.integer("num_labels", labelled > 0 ? labelled : 2, kMostClasses) : 0;
  if (*config.num_classes != labelled || are_placeholders(config.labels)) config.labels.clear();
  const json* eps = reader.find("layer_norm_eps");
  config.norm_eps = eps == nullptr ? (type == "swin" ? 1e-5 : 1e-12) : reader.number("layer_norm_eps", *eps);
  require(config.norm_eps > 0 && config.norm_eps < 1, ErrorKind::data, "{}: layer_norm_eps: expected 0 to 1, got {}",
          printable(reader.path), config.norm_eps);

  int64_t side = 0;
  if (type == "swin") {
    const SwinOptions options = swin_options(reader);
    side = options.image_size;
    config.preprocess = preprocessing_beside(reader.path, side);
    config.build = [config, options](const ModelArgs& args) { return build<SwinImpl>(config, "swin", options, args); };
    return config;
  }
  VitOptions options = vit_options(reader);
  if (type == "deit") {
    const json* names = reader.find("architectures");
    const bool teacher = names != nullptr && names->dump().find("WithTeacher") != std::string::npos;
    require(teacher || *config.num_classes == 0, ErrorKind::data,
            "{}: a DeiT with one head on two tokens is not supported; that of two heads is WithTeacher",
            printable(reader.path));
    options.distilled = true;
  }
  side = options.image_size;
  config.preprocess = preprocessing_beside(reader.path, side);
  config.build = [config, options](const ModelArgs& args) { return build<VitImpl>(config, "vit", options, args); };
  return config;
}

}  // namespace fovea
