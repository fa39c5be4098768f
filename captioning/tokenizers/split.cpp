#include "fovea/captioning/tokenizers/split.h"

#include <array>
#include <optional>

#include "fovea/captioning/tokenizers/unicode.h"

namespace fovea {
namespace {

constexpr std::array<std::u32string_view, 7> contractions = {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};

enum class Kind { letter, number, space, other };

Kind kind_of(char32_t character) {
  if (character < 0x80) {  // the usual case, without a search
    if ((character | 0x20) >= 'a' && (character | 0x20) <= 'z') return Kind::letter;
    if (character >= '0' && character <= '9') return Kind::number;
  }
  if (is(CharacterClass::letter, character)) return Kind::letter;
  if (is(CharacterClass::number, character)) return Kind::number;
  return is(CharacterClass::space, character) ? Kind::space : Kind::other;
}

size_t run_end(std::u32string_view text, size_t at, Kind kind) {
  while (at < text.size() && kind_of(text[at]) == kind) ++at;
  return at;
}

// Where the word that begins at `at` ends, by the alternatives of the pattern in their order.
size_t gpt2_word_end(std::u32string_view text, size_t at) {
  for (const std::u32string_view contraction : contractions) {
    if (text.substr(at).starts_with(contraction)) return at + contraction.size();
  }
  const size_t start = text[at] == ' ' && at + 1 < text.size() ? at + 1 : at;
  const Kind kind = kind_of(text[start]);
  if (kind != Kind::space) return run_end(text, start, kind);
  // \s+(?!\S): the last space before a word belongs to that word, unless it is the only one.
  const size_t end = run_end(text, at, Kind::space);
  return end == text.size() || end == at + 1 ? end : end - 1;
}

template <typename Stops>
void split_where(std::u32string_view text, Stops stops, const WordSink& word) {
  size_t start = 0;
  for (size_t at = 0; at <= text.size(); ++at) {
    const std::optional<size_t> kept = at < text.size() ? stops(text[at]) : 0;  // length of the stop that is a word
    if (!kept) continue;
    if (at > start) word(text.substr(start, at - start));
    if (*kept > 0) word(text.substr(at, *kept));
    start = at + 1;
  }
}

}  // namespace

void split_gpt2(std::u32string_view text, const WordSink& word) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = gpt2_word_end(text, at);
    word(text.substr(at, end - at));
    at = end;
  }
}

void split_bert(std::u32string_view text, const WordSink& word) {
  const auto stops = [](char32_t character) -> std::optional<size_t> {
    if (is(CharacterClass::white, character)) return 0;
    return is(CharacterClass::punctuation, character) ? std::optional<size_t>(1) : std::nullopt;
  };
  split_where(text, stops, word);
}

void split_at_white_space(std::u32string_view text, const WordSink& word) {
  const auto stops = [](char32_t character) {
    return is(CharacterClass::white, character) ? std::optional<size_t>(0) : std::nullopt;
  };
  split_where(text, stops, word);
}

}  // namespace fovea
