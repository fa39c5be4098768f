// Read by the tests in Python: {"sets": [{"candidate", "references"}]} of plain captions → the scores, {"stem":
// [words]} → their stems, {"words": [captions]} → their words; one JSON line each.
#include <iostream>
#include <nlohmann/json.hpp>

#include "fovea/captioning/metrics/caption_metrics.h"

int main() {
  using nlohmann::json;
  for (std::string line; std::getline(std::cin, line);) {
    const json request = json::parse(line);
    json answer;
    if (request.contains("stem")) {
      for (const std::string word : request["stem"]) answer.push_back(fovea::porter_stem(word));
    } else if (request.contains("words")) {
      for (const std::string text : request["words"]) answer.push_back(fovea::caption_words(text));
    } else {
      std::vector<fovea::ScoredCaption> captions;
      for (const json& set : request["sets"]) {
        fovea::ScoredCaption& caption = captions.emplace_back();
        caption.candidate = fovea::caption_words(set["candidate"].get<std::string>());
        for (const std::string text : set["references"]) caption.references.push_back(fovea::caption_words(text));
      }
      answer = {{"bleu", fovea::bleu(captions)},
                {"rouge_l", fovea::rouge_l(captions)},
                {"cider_d", fovea::cider_d(captions)},
                {"meteor", fovea::meteor(captions)}};
    }
    std::cout << answer.dump() << std::endl;
  }
}
