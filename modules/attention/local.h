// Local attention: a query looks at a window of 2D + 1 keys around a place that is given or predicted.
#pragma once

#include "fovea/modules/attention/score.h"

namespace fovea {

struct LocalAttentionOptions {
  ScoreFunctionOptions score;  // widths and kind; location does not go with windows
  int64_t half_width = 10;     // D, keys on each side
  bool predictive = false;     // the place is predicted from the query (local-p); false: it is the step (local-m)
  int64_t hidden = 0;          // width of the prediction; 0: the query's
};

struct LocalAttentionArgs {
  at::Tensor lengths;  // int64 [B], keys from this index on are masked
  int64_t first = 0;   // local-m: the place of query 0, when decoding step by step
};

struct LocalAttentionResult {
  at::Tensor context;  // [B,N,e]
  at::Tensor weights;  // [B,N,2D+1]; slot i of a query is key start + i, 0 where there is none
  at::Tensor start;    // int64 [B,N], the first key of the window, negative before the sequence
  at::Tensor center;   // [B,N], in keys, float32 at least
};

// local-m: p_i = first + i, a = softmax of the scores over the keys within D of p.
// local-p: p_i = S·sigmoid(v_pᵀ·tanh(W_p·q_i)), S the key's length; the softmax is over the integers within D of p and
// is then multiplied by exp(−(j − p)²/(2σ²)), σ = D/2, so that its sum is less than 1.
//
// query [B,N,query_width], keys [B,S,key_width], values [B,S,e]. Only the keys of a window are scored: the cost is
// N·(2D + 1) whatever S. Keys `score.…`, and with `predictive` `position.weight`, `v_p`. Throws Error(usage) for
// options that do not go together, Error(data) naming the shapes that disagree. Luong et al., Effective Approaches to
// Attention-based Neural Machine Translation, 2015, https://arxiv.org/abs/1508.04025
class LocalAttentionImpl : public Module<LocalAttentionImpl> {
 public:
  explicit LocalAttentionImpl(const LocalAttentionOptions& options);
  void reset() override;
  LocalAttentionResult forward(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                               const LocalAttentionArgs& args = {});

  LocalAttentionOptions options;  // with the zero resolved
  ScoreFunction score = nullptr;
  Linear position = nullptr;  // W_p
  at::Tensor v_p;
};
FOVEA_MODULE(LocalAttention);

}  // namespace fovea
