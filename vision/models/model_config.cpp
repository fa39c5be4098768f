#include "fovea/vision/models/model_config.h"

#include <algorithm>
#include <cmath>

#include "fovea/modules/channel/factory.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/json_text.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/models/huggingface_config.h"
#include "fovea/vision/models/json_reader.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

constexpr JsonWord<Interpolation> interpolations[] = {
    {"bicubic", Interpolation::bicubic}, {"bilinear", Interpolation::bilinear}, {"nearest", Interpolation::nearest}};
constexpr JsonWord<CropMode> crop_modes[] = {
    {"center", CropMode::center}, {"squash", CropMode::squash}, {"border", CropMode::border}};

template <typename Value, size_t count>
std::string_view name_in(const JsonWord<Value> (&words)[count], Value value) {
  for (const auto& word : words) {
    if (word.value == value) return word.name;
  }
  fail(ErrorKind::internal, "name_of: unknown value {}", static_cast<int>(value));
}

PreprocessChanges read_preprocess(const JsonReader& reader) {
  PreprocessChanges changes;
  if (const Json* size = reader.find("input_size")) {
    if (!size->is_array() || size->size() != 3) reader.wrong("input_size", "[3,height,width]", *size);
    const auto side = [&](size_t index) { return reader.integer("input_size", (*size)[index], 16'384); };
    require(side(0) == 3, ErrorKind::data, "{}: input_size: expected 3 channels, got {}", printable(reader.path),
            side(0));
    changes.size = {side(1), side(2)};
  }
  if (const Json* value = reader.find("crop_pct")) {
    changes.crop_pct = reader.number("crop_pct", *value);
    require(*changes.crop_pct > 0 && *changes.crop_pct <= 16, ErrorKind::data, "{}: crop_pct: expected 0 to 16, got {}",
            printable(reader.path), *changes.crop_pct);
  }
  changes.crop_mode = reader.word("crop_mode", crop_modes);
  changes.interpolation = reader.word("interpolation", interpolations);
  changes.mean = reader.colour("mean");
  changes.std = reader.colour("std");
  for (const double value : changes.std.value_or(std::array{1.0, 1.0, 1.0})) {
    require(value > 0, ErrorKind::data, "{}: std: expected numbers above 0, got {}", printable(reader.path), value);
  }
  return changes;
}

constexpr std::string_view kMultiLabel = "multi_label_classification";  // of transformers' problem_type

bool is_multi_label(const JsonReader& reader) {
  const Json* const problem = reader.find("problem_type");
  return problem != nullptr && reader.text("problem_type", *problem) == kMultiLabel;
}

// What a ResNet's blocks are made with, in timm's words.
std::optional<BlockAttention> read_attention(const JsonReader& root) {
  const auto object_at = [&](const JsonReader& reader, const char* key) {
    const Json* found = reader.find(key);
    if (found != nullptr && !found->is_object()) reader.wrong(key, "an object", *found);
    return found;
  };
  const Json* const model = object_at(root, "model_args");
  const Json* const block = model == nullptr ? nullptr : object_at({root.path, *model}, "block_args");
  if (block == nullptr || !block->contains("attn_layer")) return std::nullopt;
  const JsonReader reader{root.path, *block};
  BlockAttention attention;
  if (const Json* name = reader.find("attn_layer")) {
    attention.name = reader.text("attn_layer", *name);
    const auto known = channel_attention_names();
    require(std::ranges::count(known, attention.name) > 0, ErrorKind::data, "{}: attn_layer: \"{}\" is not supported",
            printable(root.path), printable(attention.name));
  }
  if (const Json* stages = reader.find("attn_stages")) {
    if (!stages->is_array()) reader.wrong("attn_stages", "a list of integers", *stages);
    constexpr int64_t most = 4;  // stages of a ResNet
    for (const Json& stage : *stages) attention.stages.push_back(reader.integer("attn_stages", stage, most));
  }
  return attention;
}

}  // namespace

std::string_view name_of(Interpolation interpolation) {
  return name_in(interpolations, interpolation);
}
std::string_view name_of(CropMode mode) {
  return name_in(crop_modes, mode);
}

PreprocessOptions PreprocessChanges::applied_to(PreprocessOptions usual) const {
  if (size) {
    usual.height = (*size)[0];
    usual.width = (*size)[1];
  }
  usual.crop_pct = crop_pct.value_or(usual.crop_pct);
  usual.crop_mode = crop_mode.value_or(usual.crop_mode);
  usual.interpolation = interpolation.value_or(usual.interpolation);
  usual.mean = mean.value_or(usual.mean);
  usual.std = std.value_or(usual.std);
  return usual;
}

ModelConfig read_model_config(const std::string& path) {
  const Json root = read_json(path);
  require(root.is_object(), ErrorKind::data, "{}: expected an object, got {}", printable(path), root.type_name());

  const JsonReader reader{path, root};
  ModelConfig config;
  const Json* const architecture = reader.find("architecture");
  if (architecture == nullptr && reader.find("model_type") != nullptr) {
    config = read_huggingface_config(reader);
    config.multi_label = is_multi_label(reader);
    return config;
  }
  require(architecture != nullptr, ErrorKind::data, "{}: architecture is missing, and so is model_type",
          printable(path));
  config.architecture = reader.text("architecture", *architecture);
  if (const Json* value = reader.find("num_classes")) {
    config.num_classes = reader.integer("num_classes", *value, 10'000'000);
  }
  if (const Json* names = reader.find("label_names")) {
    if (!names->is_array()) reader.wrong("label_names", "a list of strings", *names);
    for (const Json& name : *names) config.labels.push_back(reader.text("label_names", name));
  }
  const auto count = static_cast<int64_t>(config.labels.size());
  require(count == 0 || config.num_classes.value_or(count) == count, ErrorKind::data,
          "{}: num_classes is {}, but there are {} label_names", printable(path), config.num_classes.value_or(0),
          count);
  if (count > 0) config.num_classes = count;
  if (const Json* pretrained = reader.find("pretrained_cfg")) {
    if (!pretrained->is_object()) reader.wrong("pretrained_cfg", "an object", *pretrained);
    config.preprocess = read_preprocess({path, *pretrained});
  }
  config.attention = read_attention(reader);
  config.multi_label = is_multi_label(reader);
  return config;
}

namespace {

NamedModel create_registered(const ModelConfig& config, const ModelArgs& args) {
  ModelArgs all = args;
  if (!all.num_classes) all.num_classes = config.num_classes;
  if (!all.attention) all.attention = config.attention;
  // A position table of that side is what the weights hold.
  const auto& size = config.preprocess.size;
  if (!all.image_size && size && (*size)[0] == (*size)[1]) all.image_size = (*size)[0];
  return create_model(config.architecture, all);
}

}  // namespace

NamedModel create_model(const ModelConfig& config, const ModelArgs& args) {
  NamedModel named = config.build ? config.build(args) : create_registered(config, args);
  named.info.multi_label = config.multi_label.value_or(named.info.multi_label);
  return named;
}

void write_model_config(const std::string& path, const ModelInfo& info, const std::vector<std::string>& labels) {
  const PreprocessOptions& preprocess = info.preprocess;
  const nlohmann::ordered_json pretrained = {
      {"input_size", {3, preprocess.height, preprocess.width}},
      {"interpolation", name_of(preprocess.interpolation)},
      {"crop_pct", preprocess.crop_pct},
      {"crop_mode", name_of(preprocess.crop_mode)},
      {"mean", preprocess.mean},
      {"std", preprocess.std},
  };
  nlohmann::ordered_json root = {{"architecture", info.name}, {"num_classes", info.num_classes}};
  if (info.multi_label) root["problem_type"] = kMultiLabel;
  if (!labels.empty()) root["label_names"] = labels;
  root["pretrained_cfg"] = pretrained;
  if (info.attention) {
    nlohmann::ordered_json block = {{"attn_layer", nullptr}};
    if (!info.attention->name.empty()) block["attn_layer"] = info.attention->name;
    if (!info.attention->stages.empty()) block["attn_stages"] = info.attention->stages;
    root["model_args"] = {{"block_args", std::move(block)}};
  }
  write_file(path, root.dump(2) + "\n");
}

}  // namespace fovea
