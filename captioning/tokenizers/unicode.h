// What Hugging Face's tokenizers say about characters. Their classes follow no single version of Unicode, so the tables
// (unicode_tables.cpp) are read out of the package by make_unicode_tables.py.
#pragma once

#include <span>
#include <string>

namespace fovea {

enum class CharacterClass {
  letter,        // \p{L} of the byte-level splitter
  number,        // \p{N}
  space,         // \s
  white,         // what ends a word of BERT
  punctuation,   // what is a word of its own in BERT
  control,       // what BERT's clean_text removes
  clean_space,   // what BERT's clean_text turns into U+0020
  ideograph,     // what BERT puts spaces around
  removed_mark,  // what stripping of accents removes
};

bool is(CharacterClass wanted, char32_t character);

// Of one character; most give themselves.
void append_lower(std::u32string& text, char32_t character);

// Canonical decomposition (NFD) of the whole text, without nonspacing marks.
std::u32string without_accents(const std::u32string& text);

namespace unicode_tables {

struct Range {
  char32_t first;
  char32_t last;
};
struct Mapping {
  char32_t from;
  char32_t to[3];  // 0: ends before
};
struct Order {
  char32_t character;
  uint8_t combining_class;
};

std::span<const Range> ranges(CharacterClass wanted);
std::span<const Mapping> lower();
std::span<const Mapping> decomposed();  // without marks; Hangul syllables follow their rule instead
std::span<const Order> kept_marks();    // marks that stay, and are put in the order of their classes

}  // namespace unicode_tables
}  // namespace fovea
