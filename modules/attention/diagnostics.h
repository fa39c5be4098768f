// What attention weights and scores tell about the health of a network.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fovea {

// −Σ a·log a over the log of the number of keys that `allowed` (bool, broadcasts to weights, or undefined) has in the
// row: weights [B,H,N,M] → [B,H,N], 0 for a one-hot row and for one with a single key, 1 for a uniform one. Throws
// Error(data) naming the shape.
at::Tensor normalised_entropy(const at::Tensor& weights, const at::Tensor& allowed = {});

enum class HeadClass {
  self,      // most of the weight lies on the query's own place
  previous,  // … on the place before it
  next,      // … on the place after it
  first,     // … on the first key
  local,     // … within 3 places of the query
  uniform,   // normalised entropy above 0.95
  mixed,     // none of these
};

const char* name(HeadClass kind);

struct HeadReport {
  HeadClass kind = HeadClass::mixed;
  double share = 0;             // of the weight where the class says; the entropy for uniform
  double entropy = 0;           // mean over batch and queries, normalised
  bool idle = false;            // its rows do not depend on the query: they differ by less than 1 % in total variation
  std::optional<int64_t> twin;  // the first earlier head whose rows are the same within 1 % in total variation
};

// One report a head; the first class in the order above that holds more than half of the weight.
// weights [B,H,N,M] with N = M. Throws Error(data) naming the shape.
// Clark et al., What Does BERT Look At?, 2019, https://arxiv.org/abs/1906.04341; Voita et al., Analyzing Multi-Head
// Self-Attention, 2019, https://arxiv.org/abs/1905.09418
std::vector<HeadReport> classify_heads(const at::Tensor& weights);

struct ScoreReport {
  double least = 0;  // of the finite scores
  double largest = 0;
  int64_t nans = 0;
  int64_t infinities = 0;   // +∞; −∞ is a mask
  double saturated = 0;     // share of rows whose softmax gives one key more than 0.999
  bool suspicious = false;  // NaN, +∞, a score outside −15…20, or half of the rows saturated
};

// Raw scores, before the softmax, of any shape […,M].
ScoreReport inspect_scores(const at::Tensor& scores);

}  // namespace fovea
