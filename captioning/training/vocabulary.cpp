#include "fovea/captioning/training/vocabulary.h"

#include <fmt/ranges.h>

#include <map>
#include <nlohmann/json.hpp>

#include "fovea/captioning/metrics/caption_metrics.h"
#include "fovea/modules/weights/output_file.h"

namespace fovea {
namespace {

constexpr const char* unknown = "<unk>";
constexpr const char* specials[] = {"<pad>", "<start>", "<end>", unknown};

}  // namespace

std::string plain_caption(std::string_view text) {
  return fmt::format("{}", fmt::join(caption_words(text), " "));
}

std::vector<std::string> vocabulary_of(const CaptionDataset& data, int64_t least) {
  std::map<std::string, int64_t> counts;
  for (int64_t i = 0; i < data.size(); ++i) {
    for (const std::string& caption : data.captions(i)) {
      for (const std::string& word : caption_words(caption)) ++counts[word];
    }
  }
  std::vector<std::string> words;
  for (const auto& [word, count] : counts) {
    if (count >= least) words.push_back(word);
  }
  return words;
}

Tokenizer word_tokenizer(const std::vector<std::string>& words) {
  const std::string name = "vocabulary";
  Vocabulary vocabulary;
  TokenizerParts parts{
      .file = name, .model = nullptr, .normalise = {.lowercase = true}, .splitter = Splitter::white_space};
  for (const char* special : specials) {
    const int64_t id = vocabulary.size();
    vocabulary.add(name, special, id);
    if (std::string_view(special) != unknown) parts.added.push_back({.text = special, .id = id, .special = true});
  }
  for (const std::string& word : words) vocabulary.add(name, word, vocabulary.size());
  parts.model = make_word_level(std::move(vocabulary), unknown, name);
  return Tokenizer(std::move(parts));
}

void write_vocabulary(const std::filesystem::path& file, const std::vector<std::string>& words) {
  nlohmann::ordered_json root = nlohmann::ordered_json::object();
  int64_t next = 0;
  for (const char* special : specials) root[special] = next++;
  for (const std::string& word : words) root[word] = next++;
  write_file(file, root.dump(0) + "\n");
}

}  // namespace fovea
