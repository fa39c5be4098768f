#include "fovea/datasets/scenes/reading.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <span>

#include "fovea/datasets/scenes/captions.h"
#include "fovea/datasets/scenes/nouns.h"

namespace fovea::scenes {
namespace {

constexpr std::string_view kWhite = " \t\n\r";

struct Word {
  std::string_view text;  // without punctuation behind it
  size_t first = 0;       // characters of the sentence that are no spaces
};

struct Number {
  std::string_view word;
  int64_t count;
};
constexpr Number numbers[] = {{"a", 1}, {"an", 1}, {"one", 1}, {"two", 2}, {"three", 3}, {"four", 4}};

// Singulars and plurals of every noun.
const std::map<std::string, size_t, std::less<>>& vocabulary() {
  static const auto table = [] {
    std::map<std::string, size_t, std::less<>> places;
    for (size_t i = 0; i < nouns().size(); ++i) {
      places.emplace(nouns()[i].singular, i);
      const std::string two = noun_phrase(nouns()[i], "", 2);
      places.emplace(two.substr(two.find(' ') + 1), i);
    }
    return places;
  }();
  return table;
}

// In vocabulary().
size_t longest_noun() {
  static const size_t longest = [] {
    size_t most = 0;
    for (const auto& [name, noun] : vocabulary()) {
      most = std::max(most, static_cast<size_t>(std::ranges::count(name, ' ')) + 1);
    }
    return most;
  }();
  return longest;
}

std::vector<Word> split(std::string_view text) {
  std::vector<Word> words;
  size_t letters = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    words.push_back({word.substr(0, word.find_last_not_of(".,;:!?") + 1), letters});
    letters += word.size();
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::string joined(std::span<const Word> words) {
  std::string text;
  for (const Word& word : words) (text += text.empty() ? "" : " ") += word.text;
  return text;
}

std::optional<Relation> relation_of(std::string_view text) {
  for (const Relation relation : {Relation::left_of, Relation::right_of, Relation::above, Relation::below}) {
    if (std::ranges::count(words_of(relation), text) > 0) return relation;
  }
  return std::nullopt;
}

// Reads colour and number, which stand before words[at]. Returns where the phrase begins.
size_t read_front(const std::vector<Word>& words, size_t at, Phrase& phrase) {
  if (at > 0) {
    const auto colour = std::ranges::find(colours, words[at - 1].text, &Colour::name);
    if (colour != colours.end()) {
      phrase.colour = colour - colours.begin();
      --at;
    }
  }
  if (at > 0) {
    const auto* const number = std::ranges::find(numbers, words[at - 1].text, &Number::word);
    if (number != std::end(numbers)) {
      phrase.count = number->count;
      --at;
    }
  }
  return at;
}

}  // namespace

std::string plain_caption(std::string_view text) {
  std::string plain;
  bool space = false;
  for (const char character : text) {
    if (kWhite.find(character) != std::string_view::npos) {
      space = !plain.empty();
      continue;
    }
    if (space && character != '-' && plain.back() != '-') plain += ' ';
    space = false;
    plain += character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
  }
  while (plain.ends_with('.') || plain.ends_with(' ')) plain.pop_back();
  return plain;
}

Reading read_caption(std::string_view text) {
  const std::string plain = plain_caption(text);
  const std::vector<Word> words = split(plain);
  Reading reading;
  size_t behind = 0;  // the last noun
  for (size_t at = 0; at < words.size();) {
    size_t length = std::min(longest_noun(), words.size() - at);
    auto found = vocabulary().end();
    for (; length > 0; --length) {
      found = vocabulary().find(joined(std::span(words).subspan(at, length)));
      if (found != vocabulary().end()) break;
    }
    if (length == 0) {
      ++at;
      continue;
    }
    const Word& last = words[at + length - 1];
    Phrase phrase{.noun = found->second, .first = words[at].first, .end = last.first + last.text.size()};
    const size_t front = read_front(words, at, phrase);
    if (reading.phrases.size() == 1 && front > behind) {
      reading.relation = relation_of(joined(std::span(words).subspan(behind, front - behind)));
    }
    reading.phrases.push_back(phrase);
    at += length;
    behind = at;
  }
  return reading;
}

}  // namespace fovea::scenes
