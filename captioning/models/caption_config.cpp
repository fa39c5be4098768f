#include "fovea/captioning/models/caption_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "fovea/captioning/models/generation_config.h"
#include "fovea/captioning/models/trained_captioner.h"
#include "fovea/captioning/models/transformer_captioner.h"
#include "fovea/modules/weights/json_text.h"
#include "fovea/vision/models/huggingface_config.h"
#include "fovea/vision/models/huggingface_preprocessor.h"
#include "fovea/vision/models/vit.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kMostWidth = 1 << 16;  // of anything in a network
constexpr int64_t kMostTokens = 10'000'000;

constexpr JsonWord<Activation> activations[] = {{"gelu", Activation::gelu},
                                                {"gelu_new", Activation::gelu_tanh},
                                                {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                {"relu", Activation::relu}};

// One of the objects inside the configuration.
JsonReader inner(const JsonReader& config, const char* key) {
  const json* object = config.find(key);
  require(object != nullptr && object->is_object(), ErrorKind::data, "{}: {}: expected an object",
          printable(config.path), key);
  return {config.path, *object};
}

double epsilon(const JsonReader& config, const char* key, double usual) {
  const json* value = config.find(key);
  const double eps = value == nullptr ? usual : config.number(key, *value);
  require(eps > 0 && eps < 1, ErrorKind::data, "{}: {}: expected 0 to 1, got {}", printable(config.path), key, eps);
  return eps;
}

// The first of these objects that has the key; −1 where none has. A list stands for its first entry.
int64_t token(std::initializer_list<JsonReader> configs, const char* key) {
  for (const JsonReader& config : configs) {
    const json* value = config.find(key);
    if (value == nullptr) continue;
    if (value->is_array() && !value->empty()) value = &value->front();
    if (!value->is_number_integer()) config.wrong(key, "an integer", *value);
    require(value->is_number_unsigned() && value->get<uint64_t>() < kMostTokens, ErrorKind::data,
            "{}: {}: expected 0 to {}, got {}", printable(config.path), key, kMostTokens - 1, value->dump());
    return value->get<int64_t>();
  }
  return -1;
}

void expect(const JsonReader& config, const char* key, bool only) {
  require(config.boolean(key, only) == only, ErrorKind::data, "{}: {}: only {} is supported", printable(config.path),
          key, only);
}

void expect_type(const JsonReader& config, const char* where, const char* only) {
  const json* type = config.find("model_type");
  const std::string name = type == nullptr ? only : config.text("model_type", *type);
  require(name == only, ErrorKind::data, "{}: {}: model_type: \"{}\" is not supported, only {}", printable(config.path),
          where, printable(name), only);
}

// generation_config.json, or an empty object where there is none.
json read_generation_config(const std::string& config, std::string& path) {
  path = (fs::path(config).parent_path() / "generation_config.json").string();
  std::error_code error;
  json root = fs::exists(path, error) ? read_json(path) : json::object();
  require(root.is_object(), ErrorKind::data, "{}: expected an object, got {}", printable(path), root.type_name());
  return root;
}

// transformers' VisionEncoderDecoderModel of a ViT and a GPT-2.
CaptionerConfig read_vit_gpt2(const JsonReader& config) {
  const JsonReader vit = inner(config, "encoder"), gpt2 = inner(config, "decoder");
  expect_type(vit, "encoder", "vit");
  expect_type(gpt2, "decoder", "gpt2");
  expect(gpt2, "add_cross_attention", true);
  expect(gpt2, "scale_attn_weights", true);
  expect(gpt2, "scale_attn_by_inverse_layer_idx", false);

  const ModelConfig encoder = read_huggingface_config(vit);
  const int64_t encoder_dim = vit.integer("hidden_size", 768, kMostWidth);
  const int64_t dim = gpt2.integer("n_embd", 768, kMostWidth);
  const TextDecoderOptions decoder = {
      .vocabulary = gpt2.integer("vocab_size", 50257, kMostTokens),
      .positions = gpt2.integer("n_positions", 1024, kMostWidth),
      .dim = dim,
      .depth = gpt2.integer("n_layer", 12, kMostWidth),
      .heads = gpt2.integer("n_head", 12, kMostWidth),
      .hidden = gpt2.integer("n_inner", 4 * dim, kMostWidth),
      .memory_dim = dim,
      .tied = gpt2.boolean("tie_word_embeddings", true),
      .activation = gpt2.word("activation_function", activations).value_or(Activation::gelu_tanh),
      .norm_eps = epsilon(gpt2, "layer_norm_epsilon", 1e-5)};
  const bool project = encoder_dim != dim && gpt2.find("cross_attention_hidden_size") == nullptr;

  std::string path;
  const json generation_root = read_generation_config(config.path, path);
  const JsonReader generation{path, generation_root};
  CaptionerConfig result{.name = "vision-encoder-decoder"};
  result.build = [=] {
    return std::make_shared<TransformerCaptionerImpl>(
        TransformerCaptionerOptions{.encoder = [encoder] { return create_model(encoder, {.num_classes = 0}).model; },
                                    .encoder_dim = encoder_dim,
                                    .project = project,
                                    .decoder = decoder});
  };
  result.parts = {{.theirs = "encoder.", .ours = "encoder", .layout = "huggingface-vit", .norm_eps = encoder.norm_eps},
                  {.theirs = "decoder.", .ours = "decoder", .layout = "huggingface-gpt2"}};
  if (decoder.tied) result.parts[1].dropped = {"lm_head.weight"};
  if (project) result.parts.push_back({.theirs = "enc_to_dec_proj.", .ours = "enc_to_dec_proj", .layout = "timm"});
  result.tokens = {.start = token({generation, config, gpt2}, "decoder_start_token_id"),
                   .end = token({generation, config, gpt2}, "eos_token_id"),
                   .pad = token({generation, config, gpt2}, "pad_token_id")};
  if (result.tokens.start < 0) result.tokens.start = token({generation, config, gpt2}, "bos_token_id");
  result.preprocess = encoder.preprocess.applied_to({});
  return result;
}

// transformers' BlipForConditionalGeneration.
CaptionerConfig read_blip(const JsonReader& config) {
  const JsonReader vision = inner(config, "vision_config"), text = inner(config, "text_config");
  const int64_t vision_dim = vision.integer("hidden_size", 768, kMostWidth);
  const VitOptions vit = {.image_size = vision.integer("image_size", 384, kMostPixels),
                          .patch = vision.integer("patch_size", 16, kMostPixels),
                          .dim = vision_dim,
                          .depth = vision.integer("num_hidden_layers", 12, kMostWidth),
                          .heads = vision.integer("num_attention_heads", 12, kMostWidth),
                          .mlp_ratio = static_cast<double>(vision.integer("intermediate_size", 3072, kMostWidth)) /
                                       static_cast<double>(vision_dim),
                          .num_classes = 0,
                          .activation = vision.word("hidden_act", activations).value_or(Activation::gelu),
                          .norm_eps = epsilon(vision, "layer_norm_eps", 1e-5)};
  const TextDecoderOptions decoder = {.vocabulary = text.integer("vocab_size", 30524, kMostTokens),
                                      .positions = text.integer("max_position_embeddings", 512, kMostWidth),
                                      .dim = text.integer("hidden_size", 768, kMostWidth),
                                      .depth = text.integer("num_hidden_layers", 12, kMostWidth),
                                      .heads = text.integer("num_attention_heads", 8, kMostWidth),
                                      .hidden = text.integer("intermediate_size", 3072, kMostWidth),
                                      .memory_dim = vision_dim,
                                      .norm_first = false,
                                      .head_transform = true,
                                      .activation = text.word("hidden_act", activations).value_or(Activation::gelu),
                                      .norm_eps = epsilon(text, "layer_norm_eps", 1e-12)};
  expect(text, "is_decoder", true);
  expect(text, "tie_word_embeddings", true);

  CaptionerConfig result{.name = "blip"};
  result.build = [=] {
    return std::make_shared<TransformerCaptionerImpl>(TransformerCaptionerOptions{
        .encoder = [vit] { return std::make_shared<VitImpl>(vit); }, .encoder_dim = vision_dim, .decoder = decoder});
  };
  result.parts = {
      {.theirs = "vision_model.", .ours = "encoder", .layout = "huggingface-blip-vision", .norm_eps = vit.norm_eps},
      {.theirs = "text_decoder.",
       .ours = "decoder",
       .layout = "huggingface-blip-text",
       .norm_eps = decoder.norm_eps,
       .dropped = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}}};
  const auto or_usual = [](int64_t id, int64_t usual) { return id < 0 ? usual : id; };
  result.tokens = {.start = or_usual(token({text}, "bos_token_id"), 30522),
                   .end = or_usual(token({text}, "sep_token_id"), 102),  // its eos_token_id is not used
                   .pad = or_usual(token({text}, "pad_token_id"), 0)};
  // What its own processor takes where no file says otherwise.
  result.preprocess = {.height = vit.image_size,
                       .width = vit.image_size,
                       .crop_pct = 1,
                       .crop_mode = CropMode::squash,
                       .interpolation = Interpolation::bicubic,
                       .mean = {0.48145466, 0.4578275, 0.40821073},
                       .std = {0.26862954, 0.26130258, 0.27577711}};
  if (has_huggingface_preprocessor(config.path)) {
    result.preprocess = read_huggingface_preprocessor(config.path, vit.image_size).applied_to({});
  }
  return result;
}

struct CaptionerType {
  const char* name;  // model_type of config.json
  CaptionerConfig (*read)(const JsonReader& config);
};
constexpr CaptionerType types[] = {
    {"blip", read_blip}, {"fovea-captioner", trained_captioner_config}, {"vision-encoder-decoder", read_vit_gpt2}};

}  // namespace

bool names_captioner(const std::string& path) {
  const json root = read_json(path);
  const auto type = root.find("model_type");
  return type != root.end() && type->is_string() &&
         std::ranges::any_of(types, [&](const CaptionerType& one) { return *type == one.name; });
}

CaptionerConfig read_caption_config(const std::string& path) {
  const json root = read_json(path);
  require(root.is_object(), ErrorKind::data, "{}: expected an object, got {}", printable(path), root.type_name());
  const JsonReader config{path, root};
  const json* type = config.find("model_type");
  require(type != nullptr, ErrorKind::data, "{}: model_type is missing", printable(path));
  const std::string name = config.text("model_type", *type);
  const auto* const known = std::ranges::find(types, name, &CaptionerType::name);
  if (known == std::end(types)) {
    std::vector<std::string> names;
    for (const CaptionerType& one : types) names.emplace_back(one.name);
    fail(ErrorKind::data, "{}: model_type: \"{}\" is no captioner; known are {}", printable(path), printable(name),
         fmt::join(names, ", "));
  }
  CaptionerConfig result = known->read(config);
  result.usual = read_usual_generation(path);
  require(result.tokens.start >= 0, ErrorKind::data, "{}: decoder_start_token_id is missing", printable(path));
  return result;
}

}  // namespace fovea
