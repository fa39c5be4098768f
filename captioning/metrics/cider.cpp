#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "fovea/captioning/metrics/ngrams.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr double kSigma = 6;

struct Vector {
  std::array<NgramCounts, kLongestNgram> weights;
  std::array<double, kLongestNgram> norms{};
  double length = 0;  // as the COCO evaluation has it: the number of pairs of words
};

double similarity(const Vector& candidate, const Vector& reference) {
  double sum = 0;
  for (size_t n = 0; n < kLongestNgram; ++n) {
    double product = 0;
    for (const auto& [run, weight] : candidate.weights[n]) {
      const auto found = reference.weights[n].find(run);
      if (found != reference.weights[n].end()) product += std::min(weight, found->second) * found->second;
    }
    const double norms = candidate.norms[n] * reference.norms[n];
    sum += norms == 0 ? product : product / norms;
  }
  const double difference = candidate.length - reference.length;
  return sum * std::exp(-difference * difference / (2 * kSigma * kSigma));
}

}  // namespace

void CiderD::count_image(std::span<const Words> references) {
  std::set<std::string> seen;
  for (const Words& reference : references) {
    for (size_t n = 1; n <= kLongestNgram; ++n) {
      for (const auto& [run, count] : count_ngrams(reference, n)) seen.insert(run);
    }
  }
  for (const std::string& run : seen) ++images_with_[run];
  ++images_;
}

double CiderD::score(const ScoredCaption& caption) const {
  require(!caption.references.empty(), ErrorKind::data, "cider_d: a caption has no references");
  const double log_images = std::log(static_cast<double>(images_));
  const auto vector_of = [&](const Words& words) {
    Vector vector;
    for (size_t n = 0; n < kLongestNgram; ++n) {
      for (const auto& [run, count] : count_ngrams(words, n + 1)) {
        const auto found = images_with_.find(run);
        const double weight = count * (log_images - std::log(found == images_with_.end() ? 1.0 : found->second));
        vector.weights[n][run] = weight;
        vector.norms[n] += weight * weight;
        if (n == 1) vector.length += count;
      }
      vector.norms[n] = std::sqrt(vector.norms[n]);
    }
    return vector;
  };
  const Vector candidate = vector_of(caption.candidate);
  double sum = 0;
  for (const Words& reference : caption.references) sum += similarity(candidate, vector_of(reference));
  return 10 * sum / static_cast<double>(kLongestNgram) / static_cast<double>(caption.references.size());
}

std::vector<double> cider_d_each(std::span<const ScoredCaption> captions) {
  CiderD set;
  for (const ScoredCaption& caption : captions) set.count_image(caption.references);
  std::vector<double> scores;
  for (const ScoredCaption& caption : captions) scores.push_back(set.score(caption));
  return scores;
}

double cider_d(std::span<const ScoredCaption> captions) {
  const std::vector<double> scores = cider_d_each(captions);
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  return captions.empty() ? 0 : sum / static_cast<double>(captions.size());
}

}  // namespace fovea
