#include <algorithm>
#include <cmath>

#include "fovea/captioning/metrics/ngrams.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

// The reference length nearest to `length`, the shorter of two.
size_t closest_length(const ScoredCaption& caption) {
  const size_t length = caption.candidate.size();
  const auto distance = [&](const Words& words) {
    const size_t other = words.size();
    return std::pair(other > length ? other - length : length - other, other);
  };
  return std::ranges::min_element(caption.references, {}, distance)->size();
}

}  // namespace

std::array<double, 4> bleu(std::span<const ScoredCaption> captions) {
  std::array<double, kLongestNgram> matched{}, made{};
  double length = 0, wanted = 0;
  for (const ScoredCaption& caption : captions) {
    require(!caption.references.empty(), ErrorKind::data, "bleu: a caption has no references");
    length += static_cast<double>(caption.candidate.size());
    wanted += static_cast<double>(closest_length(caption));
    for (size_t n = 0; n < kLongestNgram; ++n) {
      NgramCounts most;
      for (const Words& reference : caption.references) {
        for (const auto& [run, count] : count_ngrams(reference, n + 1)) most[run] = std::max(most[run], count);
      }
      for (const auto& [run, count] : count_ngrams(caption.candidate, n + 1)) {
        made[n] += count;
        const auto found = most.find(run);
        if (found != most.end()) matched[n] += std::min(count, found->second);
      }
    }
  }
  // The small numbers of the COCO evaluation keep sets without any match defined.
  constexpr double tiny = 1e-15, small = 1e-9;
  const double ratio = (length + tiny) / (wanted + small);
  const double brevity = ratio < 1 ? std::exp(1 - 1 / ratio) : 1;
  std::array<double, kLongestNgram> scores{};
  double product = 1;
  for (size_t n = 0; n < kLongestNgram; ++n) {
    product *= (matched[n] + tiny) / (made[n] + small);
    scores[n] = std::pow(product, 1.0 / static_cast<double>(n + 1)) * brevity;
  }
  return scores;
}

}  // namespace fovea
