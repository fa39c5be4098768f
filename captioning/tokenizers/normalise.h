// What happens to text before it is split.
#pragma once

#include <string>

namespace fovea {

struct NormaliseOptions {
  bool clean_text = false;     // control characters removed, every white space U+0020
  bool ideographs = false;     // spaces around Chinese characters
  bool strip_accents = false;  // canonical decomposition without marks
  bool lowercase = false;      // character by character, without context
};

// In that order, as BERT does it.
std::u32string normalise(const std::u32string& text, const NormaliseOptions& options);

}  // namespace fovea
