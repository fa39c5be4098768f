// How well a key answers a query: the scores of the literature, interchangeable in every layer that scores.
#pragma once

#include "fovea/modules/inference/linear.h"

namespace fovea {

enum class Score {
  dot,         // q·k
  scaled_dot,  // q·k/√d
  cosine,      // q·k/(|q||k|)
  l1,          // −Σ|q − k|
  l2,          // −√Σ(q − k)²
  squared_l2,  // −Σ(q − k)²; with keys of one length its softmax is that of 2·q·k
  general,     // q·(W·k)
  additive,    // vᵀ·tanh(W·q + U·k); Luong's concat with W = [W₁|W₂] is the same
  location,    // (W·q)_j: the key's place alone
};

struct ScoreFunctionOptions {
  Score kind = Score::scaled_dot;
  int64_t query_width = 0;
  int64_t key_width = 0;  // other than query_width with general, additive and location alone
  int64_t hidden = 0;     // width of v, with additive; 0: key_width
  int64_t positions = 0;  // the most keys there can be, with location
  double scale = 1;       // factor of every score
};

// q […,N,query_width], k […,M,key_width] → […,N,M], leading dimensions as in matmul.
//
// Keys: general `key.weight`; additive `query.weight`, `key.weight`, `v` [hidden]; location `query.weight`; none else.
// Throws Error(usage) for widths that do not suit the kind, Error(data) naming both shapes.
// Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015,
// https://arxiv.org/abs/1508.04025; Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473; Graves et al., Neural
// Turing Machines, 2014, https://arxiv.org/abs/1410.5401 (cosine)
class ScoreFunctionImpl : public Module<ScoreFunctionImpl> {
 public:
  explicit ScoreFunctionImpl(const ScoreFunctionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& query, const at::Tensor& keys) { return score(query, prepare(keys)); }

  // The part that depends on the keys alone, made once a sequence, and the rest of the work.
  at::Tensor prepare(const at::Tensor& keys);
  at::Tensor score(const at::Tensor& query, const at::Tensor& prepared);

  ScoreFunctionOptions options;  // with the zero resolved
  Linear query = nullptr;
  Linear key = nullptr;
  at::Tensor v;
};
FOVEA_MODULE(ScoreFunction);

}  // namespace fovea
