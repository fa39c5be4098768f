#include "fovea/captioning/models/generation_config.h"

#include <cmath>
#include <filesystem>

#include "fovea/modules/weights/json_text.h"
#include "fovea/vision/models/json_reader.h"

namespace fovea {
namespace {

using nlohmann::json;

constexpr int64_t kMostCount = 100'000;

struct CountKey {
  const char* key;
  int64_t GenerationOptions::*value;
  int64_t least;
};
constexpr CountKey counts[] = {{"max_length", &GenerationOptions::max_length, 1},
                               {"min_length", &GenerationOptions::min_length, 0},
                               {"num_beams", &GenerationOptions::beams, 1},
                               {"num_return_sequences", &GenerationOptions::n_best, 1},
                               {"no_repeat_ngram_size", &GenerationOptions::no_repeat_ngram, 0},
                               {"top_k", &GenerationOptions::top_k, 0}};

struct NumberKey {
  const char* key;
  double GenerationOptions::*value;
  bool positive;
};
constexpr NumberKey numbers[] = {{"length_penalty", &GenerationOptions::length_penalty, false},
                                 {"repetition_penalty", &GenerationOptions::repetition_penalty, true},
                                 {"temperature", &GenerationOptions::temperature, true},
                                 {"top_p", &GenerationOptions::top_p, true}};

// What would change the text and is not there, with the value that changes nothing; null: any changes it.
struct ForeignKey {
  const char* key;
  std::optional<double> neutral;
};
constexpr ForeignKey foreign[] = {{"num_beam_groups", 1},
                                  {"diversity_penalty", 0},
                                  {"encoder_repetition_penalty", 1},
                                  {"encoder_no_repeat_ngram_size", 0},
                                  {"typical_p", 1},
                                  {"epsilon_cutoff", 0},
                                  {"eta_cutoff", 0},
                                  {"penalty_alpha", 0},
                                  {"min_p", std::nullopt},
                                  {"top_h", std::nullopt},
                                  {"min_new_tokens", std::nullopt},
                                  {"max_time", std::nullopt},
                                  {"stop_strings", std::nullopt},
                                  {"bad_words_ids", std::nullopt},
                                  {"force_words_ids", std::nullopt},
                                  {"constraints", std::nullopt},
                                  {"forced_bos_token_id", std::nullopt},
                                  {"forced_eos_token_id", std::nullopt},
                                  {"suppress_tokens", std::nullopt},
                                  {"begin_suppress_tokens", std::nullopt},
                                  {"sequence_bias", std::nullopt},
                                  {"guidance_scale", std::nullopt},
                                  {"exponential_decay_length_penalty", std::nullopt},
                                  {"watermarking_config", std::nullopt},
                                  {"dola_layers", std::nullopt}};

int64_t count_of(const JsonReader& config, const char* key, int64_t least, int64_t usual) {
  const json* value = config.find(key);
  if (value == nullptr) return usual;
  if (!value->is_number_integer()) config.wrong(key, "an integer", *value);
  const bool fits = value->is_number_unsigned() && value->get<uint64_t>() <= kMostCount;
  require(fits && value->get<int64_t>() >= least, ErrorKind::data, "{}: {}: expected {} to {}, got {}",
          printable(config.path), key, least, kMostCount, value->dump());
  return value->get<int64_t>();
}

EarlyStopping early_stopping(const JsonReader& config) {
  constexpr const char* key = "early_stopping";
  const json* value = config.find(key);
  if (value != nullptr && value->is_string()) {
    if (*value != "never") config.wrong(key, "true, false or \"never\"", *value);
    return EarlyStopping::never;
  }
  return config.boolean(key, false) ? EarlyStopping::when_full : EarlyStopping::heuristic;
}

void refuse_foreign(const JsonReader& config) {
  for (const auto& [key, neutral] : foreign) {
    const json* value = config.find(key);
    if (value == nullptr || (neutral && value->is_number() && value->get<double>() == *neutral)) continue;
    require(!neutral, ErrorKind::data, "{}: {}: only {} is supported, got {}", printable(config.path), key,
            neutral.value_or(0), printable(value->dump()));
    fail(ErrorKind::data, "{}: {} is not supported", printable(config.path), key);
  }
}

UsualGeneration read(const JsonReader& config) {
  refuse_foreign(config);
  UsualGeneration usual;
  GenerationOptions& options = usual.options;
  for (const auto& [key, value, least] : counts) options.*value = count_of(config, key, least, options.*value);
  for (const auto& [key, value, positive] : numbers) {
    const json* found = config.find(key);
    if (found == nullptr) continue;
    options.*value = config.number(key, *found);
    require(std::isfinite(options.*value) && (!positive || options.*value > 0), ErrorKind::data,
            "{}: {}: expected a number{}, got {}", printable(config.path), key, positive ? " above 0" : "",
            found->dump());
  }
  options.sample = config.boolean("do_sample", false);
  options.early_stopping = early_stopping(config);
  if (config.find("max_new_tokens") != nullptr) {  // it goes before max_length
    usual.new_tokens = count_of(config, "max_new_tokens", 1, usual.new_tokens);
    options.max_length = 0;
  }
  return usual;
}

}  // namespace

UsualGeneration read_usual_generation(const std::string& config) {
  namespace fs = std::filesystem;
  const std::string path = (fs::path(config).parent_path() / "generation_config.json").string();
  std::error_code error;
  const json root = fs::exists(path, error) ? read_json(path) : json::object();
  require(root.is_object(), ErrorKind::data, "{}: expected an object, got {}", printable(path), root.type_name());
  return read({path, root});
}

}  // namespace fovea
