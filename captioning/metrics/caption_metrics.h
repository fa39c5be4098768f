// How near captions come to what people wrote: BLEU, ROUGE-L, CIDEr-D, METEOR, over words.
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

using Words = std::vector<std::string>;

struct ScoredCaption {
  Words candidate;
  std::vector<Words> references;  // of the same image, at least one
};

// Lowercase words of a caption as the COCO evaluation counts them: contractions apart ("does n't", "dog 's"), other
// punctuation a word of its own, and then without . , ? ! : ; - -- ... ' '' ` `` and brackets.
// Throws Error(data) for text that is no UTF-8.
Words caption_words(std::string_view text);

// BLEU-1…4 of the whole set: clipped n-gram precisions, geometric mean, brevity penalty by the closest reference
// length (the shorter of two equally close ones).
// Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, 2002,
// https://aclanthology.org/P02-1040
std::array<double, 4> bleu(std::span<const ScoredCaption> captions);

// Mean over the set of (1 + β²)·P·R / (R + β²·P), β = 1.2: P and R the greatest longest-common-subsequence shares of
// any reference. Lin, ROUGE, 2004, https://aclanthology.org/W04-1013
double rouge_l(std::span<const ScoredCaption> captions);

// CIDEr-D of a caption: its n-grams of 1 to 4 words weighted by how few images' references hold them, clipped, with a
// Gaussian (σ = 6) on the difference of lengths; 10 is a perfect match.
// Vedantam et al., CIDEr, 2014, https://arxiv.org/abs/1411.5726
class CiderD {
 public:
  // Counts an image of the set whose references give the weights.
  void count_image(std::span<const Words> references);

  // Throws Error(data) for a caption without references.
  double score(const ScoredCaption& caption) const;

 private:
  std::map<std::string, double> images_with_;  // in whose references each n-gram stands
  int64_t images_ = 0;
};

// Mean over the set, of each; the weights are those of the set itself.
double cider_d(std::span<const ScoredCaption> captions);
std::vector<double> cider_d_each(std::span<const ScoredCaption> captions);

// Mean over the set of the best reference: F·(1 − 0.5·(chunks/matches)³), F = P·R / (0.9·P + 0.1·R). Words match that
// are equal, then those of equal stems (porter_stem), each to the last unmatched one of the reference, from the end of
// the candidate on. Without synonyms and paraphrases this is not the number of the Java program.
// Banerjee and Lavie, METEOR, 2005, https://aclanthology.org/W05-0909
double meteor(std::span<const ScoredCaption> captions);

// Porter, An algorithm for suffix stripping, 1980, https://tartarus.org/martin/PorterStemmer/
std::string porter_stem(std::string_view word);

}  // namespace fovea
