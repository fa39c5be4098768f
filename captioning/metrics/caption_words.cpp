#include <algorithm>
#include <array>

#include "fovea/captioning/metrics/caption_metrics.h"
#include "fovea/captioning/tokenizers/unicode.h"
#include "fovea/captioning/tokenizers/utf8.h"

namespace fovea {
namespace {

constexpr std::array<std::u32string_view, 7> endings = {U"n't", U"'s", U"'re", U"'ve", U"'ll", U"'d", U"'m"};

bool in_word(char32_t character) {
  return !is(CharacterClass::white, character) && !is(CharacterClass::punctuation, character);
}

}  // namespace

Words caption_words(std::string_view text) {
  std::u32string lower;
  for (const char32_t character : decode_utf8(text)) {
    append_lower(lower, character == 0x2019 ? U'\'' : character);  // a typographic apostrophe
  }
  Words words;
  const std::u32string_view all = lower;
  for (size_t at = 0; at < all.size();) {
    // Letters and digits, and marks between two of them, as in "e-mail" or "don't".
    size_t end = at;
    while (end < all.size() &&
           (in_word(all[end]) || ((all[end] == '\'' || all[end] == '-') && end > at && end + 1 < all.size() &&
                                  in_word(all[end - 1]) && in_word(all[end + 1])))) {
      ++end;
    }
    if (end == at) {  // white space and punctuation
      ++at;
      continue;
    }
    std::u32string_view word = all.substr(at, end - at);
    const auto tail = std::ranges::find_if(
        endings, [&](std::u32string_view one) { return word.size() > one.size() && word.ends_with(one); });
    const size_t split = tail == endings.end() ? word.size() : word.size() - tail->size();
    words.push_back(encode_utf8(word.substr(0, split)));
    if (split < word.size()) words.push_back(encode_utf8(word.substr(split)));
    at = end;
  }
  return words;
}

}  // namespace fovea
