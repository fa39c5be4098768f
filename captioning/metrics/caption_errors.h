// Where captions go wrong: by their length, in what they say twice, in what they leave out and make up.
#pragma once

#include <cstdint>

#include "fovea/captioning/metrics/caption_metrics.h"

namespace fovea {

// Captions of `least` to `most` words.
struct LengthBand {
  size_t least = 0;
  size_t most = 0;
  int64_t captions = 0;
  double cider_d = 0;  // mean, weights of the whole set
  double meteor = 0;   // mean
};

struct MissedWord {
  std::string word;  // its stem
  int64_t missed = 0;
  int64_t expected = 0;  // captions whose references agree on it
};

struct CaptionErrors {
  double length = 0;                    // mean words of a caption
  double reference_length = 0;          // and of a reference
  std::vector<LengthBand> bands;        // those that hold captions, the shortest first
  double stutters = 0;                  // share of captions with one to four words said again at once: "a dog a dog"
  double repeats = 0;                   // share of captions with the same three words in two places
  double omitted = 0;                   // share of the expected words that captions leave out
  double invented = 0;                  // share of the words of captions, function words apart, that no reference has
  std::vector<MissedWord> most_missed;  // ten at most
};

// Words are compared by their stems (porter_stem). Expected of a caption is what at least half of its references say,
// apart from function words (a, of, is, …): mostly nouns, and the verbs, colours and numbers that people agree on.
// Throws Error(data) for a caption without references.
CaptionErrors caption_errors(std::span<const ScoredCaption> captions);

}  // namespace fovea
