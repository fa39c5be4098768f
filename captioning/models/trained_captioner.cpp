#include "fovea/captioning/models/trained_captioner.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <filesystem>

#include "fovea/captioning/models/transformer_captioner.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/models/model_config.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

constexpr int64_t kMostWide = 1 << 16;  // of anything in a decoder
constexpr int64_t kMostWords = 10'000'000;

// A row a number of a decoder: its key in config.json.
template <typename Options>
struct Field {
  const char* key;
  int64_t Options::*value;
  bool optional = false;  // 0 where it is missing
};
constexpr Field<GridDecoderOptions> grid_fields[] = {
    {"vocab_size", &GridDecoderOptions::vocabulary}, {"word_dim", &GridDecoderOptions::word_dim},
    {"state_dim", &GridDecoderOptions::state_dim},   {"attention_dim", &GridDecoderOptions::attention_dim},
    {"memory_dim", &GridDecoderOptions::memory_dim}, {"places", &GridDecoderOptions::places}};
constexpr Field<TextDecoderOptions> text_fields[] = {{"vocab_size", &TextDecoderOptions::vocabulary},
                                                     {"positions", &TextDecoderOptions::positions},
                                                     {"dim", &TextDecoderOptions::dim},
                                                     {"depth", &TextDecoderOptions::depth},
                                                     {"heads", &TextDecoderOptions::heads},
                                                     {"hidden", &TextDecoderOptions::hidden},
                                                     {"memory_dim", &TextDecoderOptions::memory_dim},
                                                     {"places", &TextDecoderOptions::places, true}};

template <typename Options, size_t count>
Options read_fields(const JsonReader& config, const Field<Options> (&fields)[count]) {
  Options options;
  for (const auto& field : fields) {
    const nlohmann::json* value = config.find(field.key);
    if (value == nullptr && field.optional) continue;
    require(value != nullptr, ErrorKind::data, "{}: {} is missing", printable(config.path), field.key);
    options.*field.value = config.integer(field.key, *value, &field == fields ? kMostWords : kMostWide);
  }
  return options;
}

template <typename Options, size_t count>
void write_fields(OrderedJson& root, const Options& options, const Field<Options> (&fields)[count]) {
  for (const auto& field : fields) {
    if (options.*field.value != 0) root[field.key] = options.*field.value;
  }
}

struct TokenField {
  const char* key;
  int64_t CaptionTokens::*value;
};
constexpr TokenField token_fields[] = {{"decoder_start_token_id", &CaptionTokens::start},
                                       {"eos_token_id", &CaptionTokens::end},
                                       {"pad_token_id", &CaptionTokens::pad}};

std::string encoder_file(const std::string& config) {
  return (fs::path(config).parent_path() / "encoder.json").string();
}

NamedModel make_encoder(const ModelInfo& info) {
  ModelArgs args{.num_classes = info.num_classes, .image_size = info.preprocess.height};
  args.attention = info.attention;
  return create_model(info.name, args);
}

}  // namespace

FeatureShape feature_shape(const ModelInfo& encoder) {
  const c10::InferenceMode inference;
  const NamedModel named = make_encoder(encoder);
  named.model->module().eval();
  const auto features =
      named.model->forward_features(at::zeros({1, 3, encoder.preprocess.height, encoder.preprocess.width}));
  if (features.dim() == 4) {
    return {.places = features.size(2) * features.size(3), .dim = features.size(1), .grid = true};
  }
  return {.places = features.size(1), .dim = features.size(2)};
}

std::shared_ptr<Captioner> make_captioner(const TrainedCaptioner& description) {
  const auto encoder = [info = description.encoder] { return make_encoder(info).model; };
  if (const auto* grid = std::get_if<GridDecoderOptions>(&description.decoder)) {
    return std::make_shared<ShowAttendTellImpl>(ShowAttendTellOptions{.encoder = encoder, .grid = 0, .decoder = *grid});
  }
  const auto& text = std::get<TextDecoderOptions>(description.decoder);
  return std::make_shared<TransformerCaptionerImpl>(
      TransformerCaptionerOptions{.encoder = encoder, .encoder_dim = text.memory_dim, .decoder = text});
}

ImageModel& encoder_of(Captioner& captioner) {
  const auto children = captioner.module().named_children();
  const auto* child = children.find("encoder");
  auto* const model = child == nullptr ? nullptr : dynamic_cast<ImageModel*>(child->get());
  require(model != nullptr, ErrorKind::usage, "the captioner has no encoder that classifies images");
  return *model;
}

void write_captioner_config(const std::string& folder, const TrainedCaptioner& description) {
  OrderedJson root = {{"model_type", "fovea-captioner"}};
  if (const auto* grid = std::get_if<GridDecoderOptions>(&description.decoder)) {
    root["decoder"] = "lstm";
    write_fields(root, *grid, grid_fields);
  } else {
    root["decoder"] = "transformer";
    write_fields(root, std::get<TextDecoderOptions>(description.decoder), text_fields);
  }
  for (const TokenField& field : token_fields) root[field.key] = description.tokens.*field.value;
  const std::string config = (fs::path(folder) / "config.json").string();
  write_file(config, root.dump(2) + "\n");
  write_model_config(encoder_file(config), description.encoder, description.labels);
}

TrainedCaptioner read_trained_captioner(const JsonReader& config) {
  TrainedCaptioner description;
  const std::string file = encoder_file(config.path);
  const ModelConfig encoder = read_model_config(file);
  {
    const SkipInit skip;
    description.encoder = create_model(encoder).info;
  }
  description.encoder.preprocess = encoder.preprocess.applied_to(description.encoder.preprocess);
  description.labels = encoder.labels;

  constexpr JsonWord<bool> decoders[] = {{"lstm", true}, {"transformer", false}};
  const auto recurrent = config.word("decoder", decoders);
  require(recurrent.has_value(), ErrorKind::data, "{}: decoder is missing", printable(config.path));
  if (*recurrent) {
    GridDecoderOptions grid = read_fields(config, grid_fields);
    grid.deep_output = true;
    description.decoder = grid;
  } else {
    description.decoder = read_fields(config, text_fields);
  }
  for (const TokenField& field : token_fields) {
    const nlohmann::json* value = config.find(field.key);
    const bool fits = value != nullptr && value->is_number_unsigned() && value->get<uint64_t>() < kMostWords;
    require(fits, ErrorKind::data, "{}: {}: expected 0 to {}, got {}", printable(config.path), field.key,
            kMostWords - 1, value == nullptr ? "nothing" : printable(value->dump()));
    description.tokens.*field.value = value->get<int64_t>();
  }
  return description;
}

CaptionerConfig trained_captioner_config(const JsonReader& config) {
  const TrainedCaptioner description = read_trained_captioner(config);
  CaptionerConfig result{.name = "fovea-captioner"};
  result.build = [=] { return make_captioner(description); };
  result.parts = {{.theirs = "encoder.", .ours = "encoder", .layout = "timm"},
                  {.theirs = "decoder.", .ours = "decoder", .layout = "timm"}};
  result.tokens = description.tokens;
  result.preprocess = description.encoder.preprocess;
  return result;
}

}  // namespace fovea
