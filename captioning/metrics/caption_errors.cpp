#include "fovea/captioning/metrics/caption_errors.h"

#include <algorithm>
#include <map>
#include <set>

#include "fovea/captioning/metrics/ngrams.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr size_t kBand = 4;  // words of a band of lengths
constexpr size_t kMostMissed = 10;

// Words that carry no picture by themselves.
const std::set<std::string_view>& function_words() {
  static const std::set<std::string_view> words = {
      "a",    "an",    "the",  "this",  "that", "these", "those", "some",  "of",    "in",    "on",   "at",   "to",
      "from", "by",    "with", "for",   "into", "onto",  "off",   "over",  "under", "above", "near", "next", "left",
      "up",   "down",  "out",  "right", "as",   "and",   "or",    "but",   "while", "is",    "are",  "was",  "were",
      "be",   "been",  "has",  "have",  "had",  "do",    "does",  "it",    "its",   "he",    "she",  "they", "his",
      "her",  "their", "him",  "them",  "who",  "which", "there", "below", "'s",    "n't",   "very", "each", "other"};
  return words;
}

using Stems = std::set<std::string>;

Stems content_of(const Words& words) {
  Stems stems;
  for (const std::string& word : words) {
    if (!function_words().contains(word)) stems.insert(porter_stem(word));
  }
  return stems;
}

// One to four words, and at once the same again.
bool stutters(const Words& words) {
  for (size_t size = 1; size <= kLongestNgram; ++size) {
    for (size_t start = 0; start + 2 * size <= words.size(); ++start) {
      const auto first = words.begin() + static_cast<ptrdiff_t>(start);
      const auto second = first + static_cast<ptrdiff_t>(size);
      if (std::equal(first, second, second)) return true;
    }
  }
  return false;
}

bool repeats(const Words& words) {
  return std::ranges::any_of(count_ngrams(words, 3), [](const auto& run) { return run.second > 1; });
}

double share(double part, double whole) {
  return whole == 0 ? 0 : part / whole;
}

// What captions leave out and make up.
class Contents {
 public:
  void add(const ScoredCaption& caption) {
    const Stems said = content_of(caption.candidate);
    std::map<std::string, size_t> of_references;  // how many say it
    for (const Words& reference : caption.references) {
      for (const std::string& stem : content_of(reference)) ++of_references[stem];
    }
    for (const auto& [stem, count] : of_references) {
      if (2 * count < caption.references.size()) continue;
      MissedWord& word = expected_.try_emplace(stem, MissedWord{.word = stem}).first->second;
      ++word.expected;
      word.missed += said.contains(stem) ? 0 : 1;
    }
    said_ += static_cast<double>(said.size());
    for (const std::string& stem : said) invented_ += of_references.contains(stem) ? 0 : 1;
  }

  void report(CaptionErrors& errors) const {
    double missed = 0, expected = 0;
    for (const auto& [stem, word] : expected_) {
      missed += static_cast<double>(word.missed);
      expected += static_cast<double>(word.expected);
      if (word.missed > 0) errors.most_missed.push_back(word);
    }
    std::ranges::stable_sort(errors.most_missed, std::ranges::greater(), &MissedWord::missed);
    if (errors.most_missed.size() > kMostMissed) errors.most_missed.resize(kMostMissed);
    errors.omitted = share(missed, expected);
    errors.invented = share(invented_, said_);
  }

 private:
  std::map<std::string, MissedWord> expected_;
  double said_ = 0, invented_ = 0;
};

}  // namespace

CaptionErrors caption_errors(std::span<const ScoredCaption> captions) {
  CaptionErrors errors;
  const std::vector<double> cider = cider_d_each(captions);
  std::map<size_t, LengthBand> bands;
  Contents contents;
  double references = 0;
  for (size_t i = 0; i < captions.size(); ++i) {
    const ScoredCaption& caption = captions[i];
    const size_t words = caption.candidate.size();
    const size_t least = words == 0 ? 0 : (words - 1) / kBand * kBand + 1;
    LengthBand& band = bands[least];
    band.least = least;
    band.most = words == 0 ? 0 : least + kBand - 1;
    ++band.captions;
    band.cider_d += cider[i];
    band.meteor += meteor(captions.subspan(i, 1));
    errors.length += static_cast<double>(words);
    for (const Words& reference : caption.references) errors.reference_length += static_cast<double>(reference.size());
    references += static_cast<double>(caption.references.size());
    errors.stutters += stutters(caption.candidate) ? 1 : 0;
    errors.repeats += repeats(caption.candidate) ? 1 : 0;
    contents.add(caption);
  }
  const auto count = static_cast<double>(captions.size());
  for (double* sum : {&errors.length, &errors.stutters, &errors.repeats}) *sum = share(*sum, count);
  errors.reference_length = share(errors.reference_length, references);
  for (auto& [least, band] : bands) {
    band.cider_d /= static_cast<double>(band.captions);
    band.meteor /= static_cast<double>(band.captions);
    errors.bands.push_back(band);
  }
  contents.report(errors);
  return errors;
}

}  // namespace fovea
