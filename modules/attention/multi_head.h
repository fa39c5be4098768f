// Multi-head attention between two sequences (cross) or within one (self).
#pragma once

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/inference/linear.h"

namespace fovea {

struct MultiHeadAttentionOptions {
  int64_t d_model = 0;      // width of the queries and of the result
  int64_t heads = 0;        // divides d_model
  int64_t kv_heads = 0;     // heads of keys and values, divides heads (grouped queries); 0: as many as heads
  int64_t key_width = 0;    // width of the keys' sequence; 0: d_model
  int64_t value_width = 0;  // width of the values' sequence; 0: key_width
  bool bias = true;         // on all four projections
  double dropout = 0;       // on the attention probabilities, in training
};

// proj(concat over heads of attention(q_h, k_h, v_h)), with q = query·W_qᵀ and so on.
//
// Keys `q`, `k`, `v`, `proj`, each weight and bias. Constructor throws Error(usage) when heads do not divide d_model.
// Vaswani et al., Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762
class MultiHeadAttentionImpl : public Module<MultiHeadAttentionImpl> {
 public:
  explicit MultiHeadAttentionImpl(const MultiHeadAttentionOptions& options);
  void reset() override;

  // query [B,N,d_model], key [B,M,key_width], value [B,M,value_width] → [B,N,d_model]. `args` brings masks and bias;
  // its dropout and module are set here. Throws Error(data) naming the shapes that disagree.
  at::Tensor forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, AttentionArgs args = {});

  // Self attention.
  at::Tensor forward(const at::Tensor& x, AttentionArgs args = {}) { return forward(x, x, x, std::move(args)); }

  MultiHeadAttentionOptions options;  // with the zeros resolved
  Linear q{nullptr}, k{nullptr}, v{nullptr}, proj{nullptr};
};
FOVEA_MODULE(MultiHeadAttention);

}  // namespace fovea
