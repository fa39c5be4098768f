// One step of decoding: few queries against keys and values kept from earlier steps.
#pragma once

#include "fovea/modules/attention/attention.h"

namespace fovea {

// Keys and values of the tokens so far, in one buffer that grows by doubling. For cross attention it is filled once.
class KeyValueCache {
 public:
  // k [B,K,n,d], v [B,K,n,e] are appended after the tokens that are there. Throws Error(data) when B, K, d, e or the
  // type differ from them.
  void append(const at::Tensor& k, const at::Tensor& v);

  // Rows of the batch that go on, in this order (beam search): index int64 [B'].
  void select(const at::Tensor& index);

  int64_t length() const { return length_; }
  at::Tensor keys() const;    // [B,K,length,d], a view
  at::Tensor values() const;  // [B,K,length,e], a view

 private:
  at::Tensor keys_;
  at::Tensor values_;
  int64_t length_ = 0;
};

// attention(q, cache) for q [B,H,n,d]. Where the cache's batch b is smaller than B and divides it, B/b consecutive rows
// of q (the beams of one image) read the same keys, which are not copied unless `args` brings a mask, a bias or
// positions. For several newest tokens at once, set args.causal: it aligns to the last key. Throws Error(data) naming
// both shapes.
at::Tensor decode_attention(const at::Tensor& q, const KeyValueCache& cache, const AttentionArgs& args = {});

}  // namespace fovea
