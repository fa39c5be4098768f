#include "fovea/apps/evaluate_captions.h"
#include "fovea/apps/captioner.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "fovea/apps/arguments.h"
#include "fovea/apps/caption_scores.h"
#include "fovea/apps/device.h"
#include "fovea/apps/output.h"
#include "fovea/apps/pointing.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/captioning/evaluation/likelihood.h"
#include "fovea/captioning/evaluation/shuffled_captioner.h"
#include "fovea/captioning/models/caption.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/weights/json_text.h"
#include "fovea/modules/weights/output_file.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kBatch = 8;                                           // images a forward pass
constexpr const char* kOrigin = "{\n \"program\": \"fovea evaluate\"";  // how our files begin

void judge(CaptionScores& scores, const CaptionData& data, int64_t index, JudgedCaption caption) {
  if (data.split) {
    if (!scores.scene) scores.scene.emplace();
    scores.scene->add(scenes::World::plan(*data.split, static_cast<uint64_t>(index)), caption.text);
  }
  scores.captions.push_back(std::move(caption));
}

// Captions by the file name of their picture.
std::map<std::string, std::string> read_captions(const std::string& path) {
  const auto wrong = [&](const std::string& cause) {
    fail(ErrorKind::data, "{}: expected captions as `fovea caption --json` or `fovea evaluate --output` write them: {}",
         printable(path), cause);
  };
  std::map<std::string, std::string> captions;
  std::map<std::string, std::string> pictures;  // whole paths
  const auto take = [&](const nlohmann::json& list) {
    for (const auto& row : list) {
      const bool named = row.is_object() && row.contains("image") && row["image"].is_string();
      if (!named) wrong("a row without image");
      if (row.contains("error")) continue;
      if (!row.contains("generated_text") || !row["generated_text"].is_string()) wrong("a row without generated_text");
      const std::string picture = row["image"];
      const std::string name = fs::path(picture).filename().string();
      const auto [known, fresh] = pictures.emplace(name, picture);
      if (known->second != picture) wrong(fmt::format("two pictures of the name {}", printable(name)));
      if (fresh) captions.emplace(name, row["generated_text"]);  // of several the first, which is the best
    }
  };
  const nlohmann::json root = read_json(path);
  if (root.is_array()) {
    take(root);
  } else {
    if (!root.is_object() || !root.contains("results") || !root["results"].is_array()) wrong("no list");
    for (const auto& result : root["results"]) {
      if (result.is_object() && result.contains("captions")) take(result["captions"]);
    }
  }
  if (captions.empty()) wrong("it holds none");
  return captions;
}

CaptionScores judge_file(const CaptionData& data, const std::map<std::string, std::string>& captions,
                         const std::string& path) {
  CaptionScores scores{.data = data.name, .captions = {}};
  for (int64_t i = 0; i < data.count; ++i) {
    const std::string name = data.file_name(i);
    const auto found = captions.find(name);
    if (found == captions.end()) {
      ++scores.without;
      continue;
    }
    judge(scores, data, i, {.image = name, .text = found->second, .references = data.pictures->captions(i)});
  }
  require(!scores.captions.empty(), ErrorKind::data, "{}: no caption of a picture of {} (the first is {})",
          printable(path), printable(data.name), printable(data.file_name(0)));
  return scores;
}

class CaptionJudge {
 public:
  CaptionJudge(const CaptionEvaluation& options, const Runtime& runtime)
      : options_(options), runtime_(runtime), captioner_(open_captioner(options.model, options.weights, runtime)) {
    prepare_for_inference(captioner_.model->module());
    writing_.generation = captioner_.usual.options;
    writing_.generation.n_best = 1;
    writing_.generation.seed = static_cast<uint64_t>(options.seed);
    if (options.beams) writing_.generation.sample = false;
    writing_.generation.beams = options.beams.value_or(writing_.generation.beams);
    writing_.generation.max_length = options.max_length.value_or(writing_.generation.max_length);
  }

  const std::string& name() const { return captioner_.name; }

  // The scores of the data, and with --shuffled those of the network that looks elsewhere.
  std::vector<CaptionScores> judge_data(const CaptionData& data) {
    const c10::InferenceMode inference;
    CaptionScores scores{.data = data.name, .captions = {}}, shuffled{.data = data.name + " shuffled", .captions = {}};
    LoadedCaptioner elsewhere = captioner_;
    elsewhere.model = std::make_shared<ShuffledCaptioner>(captioner_.model, static_cast<uint64_t>(options_.seed));
    Likelihood likely, likely_shuffled;
    Progress progress(data.name, data.count);
    for (int64_t first = 0; first < data.count && stop_signal() == 0; first += kBatch) {
      const int64_t end = std::min(first + kBatch, data.count);
      read(data, first, end);
      writing_.maps = std::ranges::any_of(pictures_, [](const CaptionedImage& one) { return !one.things.empty(); });
      judge_batch(captioner_, data, first, scores, likely);
      if (options_.shuffled) judge_batch(elsewhere, data, first, shuffled, likely_shuffled);
      progress.update(end);
    }
    if (likely.tokens > 0) scores.perplexity = likely.perplexity();
    if (likely_shuffled.tokens > 0) shuffled.perplexity = likely_shuffled.perplexity();
    shuffled.pointing.reset();  // where the weights are is not where it looked
    std::vector<CaptionScores> all = {std::move(scores)};
    if (options_.shuffled) all.push_back(std::move(shuffled));
    return all;
  }

 private:
  void read(const CaptionData& data, int64_t first, int64_t end) {
    pictures_.clear();
    std::vector<at::Tensor> inputs;
    for (int64_t i = first; i < end; ++i) {
      pictures_.push_back(data.pictures->get(i));
      inputs.push_back(preprocess(pictures_.back().image, captioner_.preprocess));
    }
    const auto x = at::stack(inputs).to(runtime_.device, runtime_.dtype);
    memory_ = captioner_.model->encode(x);
    grid_ = captioner_.model->grid(x.size(2), x.size(3));
  }

  void judge_batch(const LoadedCaptioner& captioner, const CaptionData& data, int64_t first, CaptionScores& scores,
                   Likelihood& likely) const {
    const auto found = caption_memory(captioner, memory_, grid_, writing_);
    for (size_t i = 0; i < pictures_.size(); ++i) {
      const CaptionedImage& picture = pictures_[i];
      const int64_t index = first + static_cast<int64_t>(i);
      likely += likelihood(captioner, memory_.narrow(0, static_cast<int64_t>(i), 1), picture.captions);
      if (found[i].empty()) {  // no hypothesis came to an end
        ++scores.without;
        continue;
      }
      const Caption& best = found[i].front();
      if (!picture.things.empty()) {
        if (!scores.pointing) scores.pointing.emplace();
        const Rectangle seen =
            crop_geometry(picture.image.width, picture.image.height, captioner.preprocess).in_original();
        add_pointing(*scores.pointing, best, picture.things, seen);
      }
      judge(scores, data, index,
            {.image = data.file_name(index),
             .text = best.text,
             .references = picture.captions,
             .token_ids = best.generated.tokens,
             .score = best.generated.score});
    }
  }

  const CaptionEvaluation& options_;
  Runtime runtime_;
  LoadedCaptioner captioner_;
  CaptionOptions writing_;
  std::vector<CaptionedImage> pictures_;  // of the batch, as the two below
  at::Tensor memory_;                     // [b,M,E]
  TokenGrid grid_;
};

bool is_own_result(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string head(std::string_view(kOrigin).size(), '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  return file.good() && head == kOrigin;
}

// How what training never showed compares with what it did; nothing without both.
Json unseen_of_seen(const std::vector<CaptionScores>& all) {
  const auto find = [&](const char* data) { return std::ranges::find(all, data, &CaptionScores::data); };
  const auto seen = find("scenes:test"), unseen = find("scenes:unseen");
  if (seen == all.end() || unseen == all.end() || !seen->scene || !unseen->scene) return {};
  const auto ratio = [&](scenes::Count scenes::SceneScore::*count) {
    const double usual = ((*seen->scene).*count).share();
    return usual == 0 ? Json() : Json(((*unseen->scene).*count).share() / usual);
  };
  return {{"captions", ratio(&scenes::SceneScore::captions)},
          {"nouns", ratio(&scenes::SceneScore::nouns)},
          {"relations", ratio(&scenes::SceneScore::relations)},
          {"colours", ratio(&scenes::SceneScore::colours)}};
}

Json whole_answer(const std::string& subject, const std::vector<CaptionScores>& all, bool texts) {
  Json answer = {{"program", "fovea evaluate"}, {"model", subject}, {"results", Json::array()}};
  for (const CaptionScores& scores : all) answer["results"].push_back(caption_scores_json(scores, texts));
  const Json ratio = unseen_of_seen(all);
  if (!ratio.is_null()) answer["unseen_of_seen"] = ratio;
  return answer;
}

std::string dumped(const Json& json) {
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

void add_caption_options(CLI::App& app, CaptionEvaluation& options) {
  app.add_option("--images", options.data.images, "Of captions: folder of the pictures of a .json file")
      ->type_name("DIR");
  app.add_option("--split", options.data.splits, "Of captions: splits of a file of Karpathy's (test)")
      ->delimiter(',')
      ->type_name("NAME…");
  add_integer(app, "--count", options.data.count, {.least = 1, .most = 10'000'000},
              "Of captions: pictures of each split (all, of scenes 1,000)");
  app.add_option("--captions", options.captions, "Captions already made, as caption --json writes them; no --model")
      ->type_name("FILE");
  add_integer(app, "--beams", options.beams, {.least = 1, .most = 1000},
              "Of captions: beams of the search (as generation_config.json says, else 1)");
  add_integer(app, "--max-length", options.max_length, {.least = 2, .most = 100'000},
              "Of captions: tokens at most, start and end included");
  app.add_flag("--shuffled", options.shuffled, "Of captions: also with attention weights in random order");
  app.add_option("--output", options.output, "Of captions: file for scores and texts, as JSON")->type_name("FILE");
  app.add_flag("--force", options.force, "Replace a file that this command did not write");
  add_scene_options(app, options.data.files);
}

int evaluate_captions(const CaptionEvaluation& options, const CommonOptions& common) {
  const bool made = !options.captions.empty();
  require(!made || options.model.empty(), ErrorKind::usage,
          "evaluate: captions that are made already (--captions) take no --model");
  require(!made || !options.shuffled, ErrorKind::usage, "--shuffled needs a network: --model DIR");
  if (!options.output.empty()) check_replaceable(options.output, options.force, is_own_result);
  const std::vector<CaptionData> data = open_caption_data(options.data, /*draw=*/!made);
  std::vector<CaptionScores> all;
  std::string subject = options.captions;
  if (made) {
    const auto captions = read_captions(options.captions);
    for (const CaptionData& part : data) all.push_back(judge_file(part, captions, options.captions));
  } else {
    CaptionJudge captioner(options, select_runtime(common));
    subject = captioner.name();
    for (const CaptionData& part : data) {
      for (CaptionScores& scores : captioner.judge_data(part)) all.push_back(std::move(scores));
      if (stop_signal() != 0) return exit_code_of(stop_signal());
    }
  }
  if (!options.output.empty()) write_file(options.output, dumped(whole_answer(subject, all, /*texts=*/true)));
  print_output(options.json ? dumped(whole_answer(subject, all, /*texts=*/false))
                            : caption_scores_table(printable(subject), all));
  return 0;
}

}  // namespace fovea
