#include "fovea/captioning/models/load_captioner.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "fovea/captioning/models/caption_config.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/modules/weights/weight_folder.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// Without the tensors that the part has no use for.
StateDict kept_of(const StateDict& checkpoint, const CaptionerPart& part) {
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& named : checkpoint) {
    const bool dropped =
        std::ranges::any_of(part.dropped, [&](const auto& name) { return named.name == part.theirs + name; });
    if (!dropped) tensors.push_back(named);
  }
  return StateDict(std::move(tensors));
}

void refuse_strangers(const StateDict& checkpoint, const std::vector<CaptionerPart>& parts, const std::string& file) {
  std::vector<std::string> strangers;
  for (const NamedTensor& named : checkpoint) {
    const bool known =
        std::ranges::any_of(parts, [&](const CaptionerPart& part) { return named.name.starts_with(part.theirs); });
    if (!known) strangers.push_back(printable(named.name));
  }
  const size_t count = strangers.size();
  strangers.resize(std::min<size_t>(count, 5));
  require(count == 0, ErrorKind::data, "{}: does not fit the captioner: {} unexpected: {}", file, count,
          fmt::join(strangers, ", "));
}

std::string load_parts(torch::nn::Module& model, std::vector<CaptionerPart> parts, const StateDict& checkpoint,
                       const std::string& file) {
  // Salesforce's own file of BLIP names its image tower as timm does.
  const bool original = std::ranges::any_of(
      checkpoint, [](const NamedTensor& named) { return named.name.starts_with("visual_encoder."); });
  for (CaptionerPart& part : parts) {
    if (original && part.theirs == "vision_model.")
      part = {.theirs = "visual_encoder.", .ours = part.ours, .layout = "timm", .norm_eps = part.norm_eps};
  }
  refuse_strangers(checkpoint, parts, file);
  std::string text;
  for (const CaptionerPart& part : parts) {
    const auto child = model.named_children()[part.ours];
    const LoadReport report = load_weights(*child, kept_of(checkpoint, part), file,
                                           {.layout = part.layout, .norm_eps = part.norm_eps, .part = part.theirs});
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", part.ours, report.to_string());
  }
  return text;
}

}  // namespace

bool is_captioner(const std::string& folder) {
  std::error_code error;
  const fs::path config = fs::path(folder) / "config.json";
  return fs::exists(config, error) ? names_captioner(config.string()) : !tutorial_weights(folder).empty();
}

LoadedCaptioner load_captioner(const std::string& folder, const std::string& weights) {
  std::error_code error;
  const std::string tutorial = fs::exists(fs::path(folder) / "config.json", error) ? "" : tutorial_weights(folder);
  const fs::path path = !weights.empty()    ? fs::path(weights)
                        : !tutorial.empty() ? fs::path(tutorial)
                                            : weights_in(folder);
  const std::string file = printable(path.native());

  LoadedCaptioner loaded;
  CaptionerConfig config;
  StateDict checkpoint;
  if (tutorial.empty()) {
    config = read_caption_config((fs::path(folder) / "config.json").string());
    loaded.tokenizer = std::make_shared<const Tokenizer>(load_tokenizer(folder));
    checkpoint = load_state_dict(path);
  } else {
    loaded.tokenizer = std::make_shared<const Tokenizer>(load_tokenizer(folder));
    checkpoint = load_state_dict(path);
    config = read_tutorial_config(checkpoint, *loaded.tokenizer, file);
  }
  loaded.name = config.name;
  loaded.preprocess = config.preprocess;
  loaded.tokens = config.tokens;
  loaded.usual = config.usual;
  {
    const SkipInit skip;
    loaded.model = config.build();
  }
  loaded.report = fmt::format("{}: {}", file, load_parts(loaded.model->module(), config.parts, checkpoint, file));
  loaded.model->module().eval();
  return loaded;
}

}  // namespace fovea
