#include "fovea/captioning/tokenizers/unicode.h"

#include <algorithm>

namespace fovea {
namespace {

const unicode_tables::Mapping* find(std::span<const unicode_tables::Mapping> table, char32_t character) {
  const auto found = std::ranges::lower_bound(table, character, {}, &unicode_tables::Mapping::from);
  return found != table.end() && found->from == character ? &*found : nullptr;
}

void append(std::u32string& text, const unicode_tables::Mapping& mapping) {
  for (const char32_t part : mapping.to) {
    if (part != 0) text += part;
  }
}

// The rule of The Unicode Standard, section 3.12: a syllable is a leading consonant, a vowel, and mostly a trailing
// one.
bool append_hangul(std::u32string& text, char32_t character) {
  constexpr char32_t first = 0xAC00, count = 11172, vowels = 21, trailing = 28;
  if (character < first || character >= first + count) return false;
  const char32_t index = character - first;
  text += 0x1100 + index / (vowels * trailing);
  text += 0x1161 + index / trailing % vowels;
  if (index % trailing != 0) text += 0x11A7 + index % trailing;
  return true;
}

uint8_t combining_class(char32_t character) {
  const auto table = unicode_tables::kept_marks();
  const auto found = std::ranges::lower_bound(table, character, {}, &unicode_tables::Order::character);
  return found != table.end() && found->character == character ? found->combining_class : 0;
}

}  // namespace

bool is(CharacterClass wanted, char32_t character) {
  const auto table = unicode_tables::ranges(wanted);
  const auto found = std::ranges::lower_bound(table, character, {}, &unicode_tables::Range::last);
  return found != table.end() && found->first <= character;
}

void append_lower(std::u32string& text, char32_t character) {
  if (const auto* mapping = find(unicode_tables::lower(), character)) {
    append(text, *mapping);
  } else {
    text += character;
  }
}

std::u32string without_accents(const std::u32string& text) {
  std::u32string result;
  result.reserve(text.size());
  for (const char32_t character : text) {
    if (is(CharacterClass::removed_mark, character)) continue;
    if (append_hangul(result, character)) continue;
    if (const auto* mapping = find(unicode_tables::decomposed(), character)) {
      append(result, *mapping);
    } else {
      result += character;
    }
  }
  // Marks in the order of their classes. Those that were removed do not matter: sorting is stable.
  for (size_t at = 0; at < result.size(); ++at) {
    size_t end = at;
    while (end < result.size() && combining_class(result[end]) != 0) ++end;
    if (end > at + 1)
      std::stable_sort(result.begin() + at, result.begin() + end,
                       [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    at = std::max(at, end);
  }
  return result;
}

}  // namespace fovea
