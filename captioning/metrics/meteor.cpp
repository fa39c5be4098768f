#include <algorithm>
#include <cmath>

#include "fovea/captioning/metrics/caption_metrics.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

// Gives unmatched words of the candidate their places in the reference, from the ends of both.
void match(const Words& candidate, const Words& reference, std::vector<size_t>& place, std::vector<bool>& taken) {
  for (size_t i = candidate.size(); i-- > 0;) {
    for (size_t j = reference.size(); place[i] == kNone && j-- > 0;) {
      if (taken[j] || candidate[i] != reference[j]) continue;
      place[i] = j;
      taken[j] = true;
    }
  }
}

Words stems_of(const Words& words) {
  Words stems;
  std::ranges::transform(words, std::back_inserter(stems), porter_stem);
  return stems;
}

double score(const Words& candidate, const Words& reference) {
  std::vector<size_t> place(candidate.size(), kNone);
  std::vector<bool> taken(reference.size(), false);
  match(candidate, reference, place, taken);
  match(stems_of(candidate), stems_of(reference), place, taken);
  double matches = 0, chunks = 0;
  size_t last_word = kNone, last_place = kNone;
  for (size_t i = 0; i < place.size(); ++i) {
    if (place[i] == kNone) continue;
    ++matches;
    const bool goes_on = last_word != kNone && i == last_word + 1 && place[i] == last_place + 1;
    if (!goes_on) ++chunks;
    last_word = i;
    last_place = place[i];
  }
  if (matches == 0) return 0;
  const double precision = matches / static_cast<double>(candidate.size());
  const double recall = matches / static_cast<double>(reference.size());
  const double mean = precision * recall / (0.9 * precision + 0.1 * recall);
  return mean * (1 - 0.5 * std::pow(chunks / matches, 3));
}

}  // namespace

double meteor(std::span<const ScoredCaption> captions) {
  double sum = 0;
  for (const ScoredCaption& caption : captions) {
    require(!caption.references.empty(), ErrorKind::data, "meteor: a caption has no references");
    double best = 0;
    for (const Words& reference : caption.references) best = std::max(best, score(caption.candidate, reference));
    sum += best;
  }
  return captions.empty() ? 0 : sum / static_cast<double>(captions.size());
}

}  // namespace fovea
