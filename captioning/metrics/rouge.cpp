#include <algorithm>

#include "fovea/captioning/metrics/caption_metrics.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

size_t common_subsequence(const Words& a, const Words& b) {
  std::vector<size_t> row(b.size() + 1, 0);
  for (const std::string& word : a) {
    size_t diagonal = 0;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = row[j + 1];
      row[j + 1] = word == b[j] ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  return row.back();
}

double share(size_t part, size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

double rouge_l(std::span<const ScoredCaption> captions) {
  constexpr double beta2 = 1.2 * 1.2;
  double sum = 0;
  for (const ScoredCaption& caption : captions) {
    require(!caption.references.empty(), ErrorKind::data, "rouge_l: a caption has no references");
    double precision = 0, recall = 0;
    for (const Words& reference : caption.references) {
      const size_t common = common_subsequence(reference, caption.candidate);
      precision = std::max(precision, share(common, caption.candidate.size()));
      recall = std::max(recall, share(common, reference.size()));
    }
    if (precision > 0 && recall > 0) sum += (1 + beta2) * precision * recall / (recall + beta2 * precision);
  }
  return captions.empty() ? 0 : sum / static_cast<double>(captions.size());
}

}  // namespace fovea
