#include "fovea/apps/caption_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "fovea/datasets/scenes/nouns.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

using Json = nlohmann::ordered_json;
using scenes::Count;

constexpr size_t kMostNouns = 10;

struct Figures {
  std::array<double, 4> bleu{};
  double rouge_l = 0;
  double meteor = 0;
  double cider_d = 0;
  CaptionErrors errors;
};

Figures figures_of(const CaptionScores& scores) {
  std::vector<ScoredCaption> captions;
  for (const JudgedCaption& one : scores.captions) {
    ScoredCaption& caption = captions.emplace_back();
    caption.candidate = caption_words(one.text);
    for (const std::string& text : one.references) caption.references.push_back(caption_words(text));
  }
  return {.bleu = bleu(captions),
          .rouge_l = rouge_l(captions),
          .meteor = meteor(captions),
          .cider_d = cider_d(captions),
          .errors = caption_errors(captions)};
}

Json count_json(const Count& count) {
  return {{"share", count.share()}, {"right", count.right}, {"of", count.of}};
}

Json errors_json(const CaptionErrors& errors) {
  Json json = {{"length", errors.length},       {"reference_length", errors.reference_length},
               {"stutters", errors.stutters},   {"repeats", errors.repeats},
               {"omitted", errors.omitted},     {"invented", errors.invented},
               {"most_omitted", Json::array()}, {"by_length", Json::array()}};
  for (const MissedWord& word : errors.most_missed) {
    json["most_omitted"].push_back({{"word", word.word}, {"omitted", word.missed}, {"expected", word.expected}});
  }
  for (const LengthBand& band : errors.bands) {
    json["by_length"].push_back({{"words", {band.least, band.most}},
                                 {"captions", band.captions},
                                 {"cider_d", band.cider_d},
                                 {"meteor", band.meteor}});
  }
  return json;
}

Json scene_json(const scenes::SceneScore& score) {
  Json json = {{"captions", count_json(score.captions)},
               {"nouns", count_json(score.nouns)},
               {"said", count_json(score.said)},
               {"counts", count_json(score.counts)},
               {"colours", count_json(score.colours)},
               {"relations", count_json(score.relations)},
               {"invented", score.invented}};
  std::vector<std::pair<size_t, Count>> omitted(score.each.begin(), score.each.end());
  std::erase_if(omitted, [](const auto& noun) { return noun.second.right == noun.second.of; });
  std::ranges::stable_sort(omitted, std::ranges::greater(),
                           [](const auto& noun) { return noun.second.of - noun.second.right; });
  json["most_omitted"] = Json::array();
  for (const auto& [noun, count] : std::span(omitted).first(std::min(kMostNouns, omitted.size()))) {
    json["most_omitted"].push_back(
        {{"noun", scenes::nouns()[noun].singular}, {"omitted", count.of - count.right}, {"expected", count.of}});
  }
  std::vector<std::pair<size_t, int64_t>> invented(score.invented_each.begin(), score.invented_each.end());
  std::ranges::stable_sort(invented, std::ranges::greater(), [](const auto& noun) { return noun.second; });
  json["most_invented"] = Json::array();
  for (const auto& [noun, count] : std::span(invented).first(std::min(kMostNouns, invented.size()))) {
    json["most_invented"].push_back({{"noun", scenes::nouns()[noun].singular}, {"invented", count}});
  }
  return json;
}

double chance_of(const Pointing& pointing) {
  return pointing.nouns.of == 0 ? 0 : pointing.chance / static_cast<double>(pointing.nouns.of);
}

// What a row of the table says of one column; nothing where it is not measured.
using Cells = std::vector<std::pair<std::string, std::string>>;

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

Cells cells_of(const CaptionScores& scores) {
  const Figures figures = figures_of(scores);
  const CaptionErrors& errors = figures.errors;
  const auto number = [](double value) { return fmt::format("{:.3f}", value); };
  Cells cells = {{"captions", fmt::format("{}", scores.captions.size())}};
  if (scores.without > 0) cells.emplace_back("pictures without one", fmt::format("{}", scores.without));
  for (size_t n = 0; n < figures.bleu.size(); ++n) {
    cells.emplace_back(fmt::format("BLEU-{}", n + 1), number(figures.bleu[n]));
  }
  cells.insert(cells.end(), {{"ROUGE-L", number(figures.rouge_l)},
                             {"METEOR (words, stems)", number(figures.meteor)},
                             {"CIDEr-D (of 10)", number(figures.cider_d)}});
  if (scores.perplexity) cells.emplace_back("perplexity", number(*scores.perplexity));
  cells.insert(cells.end(), {{"words", fmt::format("{:.1f}", errors.length)},
                             {"words of references", fmt::format("{:.1f}", errors.reference_length)},
                             {"says something twice at once", percent(errors.stutters)},
                             {"three words twice", percent(errors.repeats)},
                             {"expected words omitted", percent(errors.omitted)},
                             {"words no reference has", percent(errors.invented)}});
  if (scores.scene) {
    const scenes::SceneScore& scene = *scores.scene;
    cells.insert(cells.end(), {{"whole caption right", percent(scene.captions.share())},
                               {"nouns right", percent(scene.nouns.share())},
                               {"relations right", percent(scene.relations.share())},
                               {"numbers right", percent(scene.counts.share())},
                               {"colours right", percent(scene.colours.share())}});
  }
  if (scores.pointing) {
    cells.emplace_back("maps of nouns point right", percent(scores.pointing->nouns.share()));
    cells.emplace_back("shuffled maps would", percent(chance_of(*scores.pointing)));
  }
  return cells;
}

}  // namespace

Json caption_scores_json(const CaptionScores& scores, bool texts) {
  const Figures figures = figures_of(scores);
  Json json = {{"data", scores.data},       {"pictures", scores.captions.size()}, {"without_caption", scores.without},
               {"bleu", figures.bleu},      {"rouge_l", figures.rouge_l},         {"meteor", figures.meteor},
               {"cider_d", figures.cider_d}};
  if (scores.perplexity) json["perplexity"] = *scores.perplexity;
  if (scores.scene) json["scenes"] = scene_json(*scores.scene);
  if (scores.pointing) {
    json["pointing"] = count_json(scores.pointing->nouns);
    json["pointing"]["shuffled"] = chance_of(*scores.pointing);
  }
  json["errors"] = errors_json(figures.errors);
  for (const JudgedCaption& one : scores.captions) {
    if (!texts) break;
    Json row = {{"image", one.image}, {"generated_text", one.text}};
    if (one.score) row.update({{"token_ids", one.token_ids}, {"score", *one.score}});
    json["captions"].push_back(std::move(row));
  }
  return json;
}

std::string caption_scores_table(const std::string& title, const std::vector<CaptionScores>& all) {
  constexpr int label = 30;
  std::vector<Cells> columns;
  std::vector<std::string> rows;  // labels, in the order of the first column that has them
  std::string text = fmt::format("{:<{}}", title, label);
  for (const CaptionScores& scores : all) {
    columns.push_back(cells_of(scores));
    for (const auto& [name, value] : columns.back()) {
      if (std::ranges::count(rows, name) == 0) rows.push_back(name);
    }
    text += fmt::format("  {:>16}", printable(scores.data));
  }
  text += '\n';
  for (const std::string& row : rows) {
    text += fmt::format("{:<{}}", row, label);
    for (size_t i = 0; i < columns.size(); ++i) {
      const auto cell = std::ranges::find(columns[i], row, &Cells::value_type::first);
      const size_t width = std::max<size_t>(16, printable(all[i].data).size());
      text += fmt::format("  {:>{}}", cell == columns[i].end() ? "" : cell->second, width);
    }
    text += '\n';
  }
  return text;
}

}  // namespace fovea
