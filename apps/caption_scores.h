// What captions of one set of pictures are worth, as JSON and as a table.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "fovea/captioning/metrics/caption_errors.h"
#include "fovea/datasets/scenes/score.h"

namespace fovea {

struct JudgedCaption {
  std::string image;  // file name
  std::string text;
  std::vector<std::string> references;  // of the same image
  std::vector<int64_t> token_ids = {};  // where a network wrote it
  std::optional<double> score = {};
};

// Whether the peak of a noun's map lies in a box of what it names.
struct Pointing {
  scenes::Count nouns;
  double chance = 0;  // sum of the shares of the map's cells whose centres do: what shuffled maps would score
};

struct CaptionScores {
  std::string data;  // as CaptionData::name, with " shuffled" where the attention was
  std::vector<JudgedCaption> captions;
  int64_t without = 0;  // pictures without a caption, which count for nothing
  std::optional<double> perplexity = {};
  std::optional<scenes::SceneScore> scene = {};
  std::optional<Pointing> pointing = {};
};

// {"data", "pictures", "bleu", …}; with `texts` every caption too.
nlohmann::ordered_json caption_scores_json(const CaptionScores& scores, bool texts);

// A column for each.
std::string caption_scores_table(const std::string& title, const std::vector<CaptionScores>& all);

}  // namespace fovea
