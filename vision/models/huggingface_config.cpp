#include "fovea/vision/models/huggingface_config.h"

#include "fovea/vision/models/huggingface_preprocessor.h"
#include "fovea/vision/models/swin.h"
#include "fovea/vision/models/vit.h"

namespace fovea {
namespace {

using nlohmann::json;

constexpr int64_t kMostWidth = 1 << 16;  // of anything in a network
constexpr int64_t kMostClasses = 10'000'000;

// 224, or [224,224].
int64_t square(const JsonReader& config, const char* key, int64_t usual) {
  const json* value = config.find(key);
  if (value == nullptr || !value->is_array()) return config.integer(key, usual, kMostPixels);
  const bool pair = value->size() == 2 && (*value)[0] == (*value)[1];
  if (!pair) config.wrong(key, "one side, or two equal ones", *value);
  return config.integer(key, (*value)[0], kMostPixels);
}

std::vector<int64_t> integers(const JsonReader& config, const char* key, std::vector<int64_t> usual,
                              bool with_zero = false) {
  const json* value = config.find(key);
  if (value == nullptr) return usual;
  if (!value->is_array() || value->empty() || value->size() > 16) config.wrong(key, "a list of integers", *value);
  std::vector<int64_t> numbers;
  for (const json& number : *value) {
    numbers.push_back(with_zero && number == 0 ? 0 : config.integer(key, number, kMostWidth));
  }
  return numbers;
}

// "ViTForImageClassification"; empty where the file does not say.
std::string class_name(const JsonReader& config) {
  const json* names = config.find("architectures");
  if (names == nullptr || !names->is_array() || names->empty()) return "";
  return config.text("architectures", (*names)[0]);
}

bool is_classifier(const JsonReader& config) {
  const std::string name = class_name(config);
  return name.empty() || name.find("ForImageClassification") != std::string::npos;
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

// int(dim · ratio) is `hidden` again, whatever the quotient rounds to.
double ratio_of(int64_t hidden, int64_t dim) {
  return (static_cast<double>(hidden) + 0.5) / static_cast<double>(dim);
}

constexpr JsonWord<Activation> activations[] = {{"gelu", Activation::gelu},
                                                {"gelu_new", Activation::gelu_tanh},
                                                {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                {"quick_gelu", Activation::quick_gelu}};

struct VitDefaults {
  int64_t patch = 16;
  Activation activation = Activation::gelu;
};

VitOptions vit_options(const JsonReader& config, const VitDefaults& usual = {}) {
  const int64_t dim = config.integer("hidden_size", 768, kMostWidth);
  return {.image_size = square(config, "image_size", 224),
          .patch = square(config, "patch_size", usual.patch),
          .dim = dim,
          .depth = config.integer("num_hidden_layers", 12, kMostWidth),
          .heads = config.integer("num_attention_heads", 12, kMostWidth),
          .mlp_ratio = ratio_of(config.integer("intermediate_size", 3072, kMostWidth), dim),
          .in_channels = config.integer("num_channels", 3, kMostWidth),
          .qkv_bias = config.boolean("qkv_bias", true),
          .activation = config.word("hidden_act", activations).value_or(usual.activation)};
}

SwinOptions swin_options(const JsonReader& config) {
  require(!config.boolean("use_absolute_embeddings", false), ErrorKind::data,
          "{}: use_absolute_embeddings is not supported", printable(config.path));
  const Activation activation = config.word("hidden_act", activations).value_or(Activation::gelu);
  require(activation == Activation::gelu, ErrorKind::data, "{}: hidden_act: only gelu is supported",
          printable(config.path));
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

template <typename Impl, typename Options>
void set_network(ModelConfig& config, const JsonReader& reader, const std::string& family, const Options& options) {
  config.preprocess = read_huggingface_preprocessor(reader.path, options.image_size);
  config.build = [config, options, family](const ModelArgs& args) {
    return build<Impl>(config, family, options, args);
  };
}

// `root` is the whole file, `own` the part of it that describes the image network.
void describe_vit(const JsonReader& root, const JsonReader& own, ModelConfig& config) {
  set_network<VitImpl>(config, root, "vit", vit_options(own));
}

void describe_deit(const JsonReader& root, const JsonReader& own, ModelConfig& config) {
  require(class_name(root).find("WithTeacher") != std::string::npos || *config.num_classes == 0, ErrorKind::data,
          "{}: a DeiT with one head on two tokens is not supported; that of two heads is WithTeacher",
          printable(root.path));
  VitOptions options = vit_options(own);
  options.distilled = true;
  set_network<VitImpl>(config, root, "vit", options);
}

void describe_swin(const JsonReader& root, const JsonReader& own, ModelConfig& config) {
  set_network<SwinImpl>(config, root, "swin", swin_options(own));
}

void describe_swinv2(const JsonReader& root, const JsonReader& own, ModelConfig& config) {
  SwinOptions options = swin_options(own);
  options.v2 = true;
  options.pretrained_windows = integers(own, "pretrained_window_sizes", {}, /*with_zero=*/true);
  set_network<SwinImpl>(config, root, "swin", options);
}

VitOptions dinov2_options(const JsonReader& own, bool classifies) {
  VitOptions options = vit_options(own);
  const int64_t ratio = own.integer("mlp_ratio", 4, kMostWidth);
  const int64_t hidden = options.dim * ratio;
  options.swiglu = own.boolean("use_swiglu_ffn", false);
  options.mlp_ratio =
      options.swiglu ? ratio_of(2 * ((hidden * 2 / 3 + 7) / 8 * 8), options.dim) : ratio_of(hidden, options.dim);
  options.layer_scale = 1;
  if (classifies) options.pool = VitPool::class_and_average;
  return options;
}

void describe_dinov2(const JsonReader& root, const JsonReader& own, ModelConfig& config) {
  VitOptions options = dinov2_options(own, *config.num_classes > 0);
  options.resampling = TableResampling::plain;
  set_network<VitImpl>(config, root, "vit", options);
}

void describe_dinov2_registers(const JsonReader& root, const JsonReader& own, ModelConfig& config) {
  VitOptions options = dinov2_options(own, *config.num_classes > 0);
  options.registers = own.integer("num_register_tokens", 4, kMostWidth);
  options.embed_prefix = false;
  set_network<VitImpl>(config, root, "vit", options);
}

// The classifiers of the towers read the mean of the patches, CLIP's without the last norm.
bool is_tower_classifier(const JsonReader& root) {
  return class_name(root).ends_with("ForImageClassification");
}

void describe_clip(const JsonReader& root, const JsonReader& own, ModelConfig& config) {
  VitOptions options = vit_options(own, {.patch = 32, .activation = Activation::quick_gelu});
  options.pre_norm = true;
  options.cut = options.image_size % options.patch != 0;
  if (is_tower_classifier(root)) {
    options.pool = VitPool::average;
    options.last_norm = false;
  } else {
    options.head_bias = false;
    const bool projects = class_name(root) != "CLIPVisionModel";
    config.num_classes = projects ? root.integer("projection_dim", 512, kMostWidth) : 0;
  }
  set_network<VitImpl>(config, root, "vit", options);
}

void describe_siglip(const JsonReader& root, const JsonReader& own, ModelConfig& config) {
  require(own.boolean("vision_use_head", true), ErrorKind::data, "{}: vision_use_head: false is not supported",
          printable(root.path));
  VitOptions options = vit_options(own, {.activation = Activation::gelu_tanh});
  options.class_token = false;
  options.cut = options.image_size % options.patch != 0;
  if (is_tower_classifier(root)) {
    options.pool = VitPool::average;
  } else {
    options.pool = VitPool::attention;
    config.num_classes = 0;
  }
  set_network<VitImpl>(config, root, "vit", options);
}

struct Type {
  const char* name;  // of model_type
  double norm_eps;   // of the LayerNorms, where the file does not say
  void (*describe)(const JsonReader& root, const JsonReader& own, ModelConfig& config);
  const char* part = nullptr;  // the member that describes the image network; null: the file does
};
constexpr Type types[] = {
    {"vit", 1e-12, describe_vit},
    {"deit", 1e-12, describe_deit},
    {"swin", 1e-5, describe_swin},
    {"swinv2", 1e-5, describe_swinv2},
    {"dinov2", 1e-6, describe_dinov2},
    {"dinov2_with_registers", 1e-6, describe_dinov2_registers},
    {"clip", 1e-5, describe_clip, "vision_config"},
    {"clip_vision_model", 1e-5, describe_clip},
    {"siglip", 1e-6, describe_siglip, "vision_config"},
    {"siglip_vision_model", 1e-6, describe_siglip},
};

const Type& find_type(const JsonReader& reader, const std::string& name) {
  std::string known;
  for (const Type& type : types) {
    if (name == type.name) return type;
    known += (known.empty() ? "" : ", ") + std::string(type.name);
  }
  fail(ErrorKind::data, "{}: model_type: \"{}\" is not supported; known are {}", printable(reader.path),
       printable(name), known);
}

}  // namespace

ModelConfig read_huggingface_config(const JsonReader& reader) {
  ModelConfig config;
  config.architecture = reader.text("model_type", *reader.find("model_type"));
  const Type& type = find_type(reader, config.architecture);
  config.labels = read_labels(reader);
  const auto labelled = static_cast<int64_t>(config.labels.size());
  config.num_classes =
      is_classifier(reader) ? reader.integer("num_labels", labelled > 0 ? labelled : 2, kMostClasses) : 0;
  if (*config.num_classes != labelled || are_placeholders(config.labels)) config.labels.clear();

  static const json nothing = json::object();
  const json* part = type.part == nullptr ? &reader.object : reader.find(type.part);
  const JsonReader own{reader.path, part == nullptr ? nothing : *part};
  require(own.object.is_object(), ErrorKind::data, "{}: {}: expected an object, got {}", printable(reader.path),
          type.part == nullptr ? "the file" : type.part, own.object.type_name());
  const json* eps = own.find("layer_norm_eps");
  config.norm_eps = eps == nullptr ? type.norm_eps : own.number("layer_norm_eps", *eps);
  require(config.norm_eps > 0 && config.norm_eps < 1, ErrorKind::data, "{}: layer_norm_eps: expected 0 to 1, got {}",
          printable(reader.path), config.norm_eps);
  type.describe(reader, own, config);
  return config;
}

}  // namespace fovea
