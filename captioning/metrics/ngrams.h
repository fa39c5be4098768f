// Counts of runs of words.
#pragma once

#include <map>
#include <string>

#include "fovea/captioning/metrics/caption_metrics.h"

namespace fovea {

constexpr size_t kLongestNgram = 4;  // of BLEU and CIDEr

using NgramCounts = std::map<std::string, double>;  // words joined by a byte that no word holds

// Runs of `size` words.
inline NgramCounts count_ngrams(const Words& words, size_t size) {
  NgramCounts counts;
  for (size_t start = 0; start + size <= words.size(); ++start) {
    std::string run;
    for (size_t i = start; i < start + size; ++i) (run += words[i]) += '\0';
    ++counts[run];
  }
  return counts;
}

}  // namespace fovea
