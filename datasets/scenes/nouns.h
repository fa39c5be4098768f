// The things that stand in generated scenes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fovea::scenes {

struct Noun {
  char32_t code_point;  // of its emoji; 0: an article of clothing, in Fashion-MNIST's order of classes
  std::string_view singular;
  std::string_view irregular = {};  // its plural where that is not the singular with an s
};

// Emoji that are things one can point at, then the ten articles of clothing.
std::span<const Noun> nouns();

// The first article of clothing in nouns().
size_t first_article();

// "cherry", 1 → "a cherry"; 2 … 4 → "two cherries"; with a colour, "an orange cherry". `colour` may be empty.
std::string noun_phrase(const Noun& noun, std::string_view colour, int64_t count);

}  // namespace fovea::scenes
