#include "fovea/captioning/tokenizers/normalise.h"

#include "fovea/captioning/tokenizers/unicode.h"

namespace fovea {
namespace {

std::u32string cleaned(const std::u32string& text) {
  std::u32string result;
  for (const char32_t character : text) {
    if (is(CharacterClass::control, character)) continue;
    result += is(CharacterClass::clean_space, character) ? U' ' : character;
  }
  return result;
}

std::u32string with_ideographs_apart(const std::u32string& text) {
  std::u32string result;
  for (const char32_t character : text) {
    if (is(CharacterClass::ideograph, character)) {
      result += {U' ', character, U' '};
    } else {
      result += character;
    }
  }
  return result;
}

std::u32string lowered(const std::u32string& text) {
  std::u32string result;
  for (const char32_t character : text) append_lower(result, character);
  return result;
}

}  // namespace

std::u32string normalise(const std::u32string& text, const NormaliseOptions& options) {
  std::u32string result = text;
  if (options.clean_text) result = cleaned(result);
  if (options.ideographs) result = with_ideographs_apart(result);
  if (options.strip_accents) result = without_accents(result);
  if (options.lowercase) result = lowered(result);
  return result;
}

}  // namespace fovea
