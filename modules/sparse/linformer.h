// Linformer: keys and values are projected from n tokens to k, so that scores are N·k.
#pragma once

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/module.h"

namespace fovea {

struct LinformerOptions {
  int64_t tokens = 0;     // n, the most keys there can be
  int64_t projected = 0;  // k
  bool shared = false;    // one projection for keys and values
};

// attention(q, E·k, F·v), q [B,H,N,d], k [B,H,M,d], v [B,H,M,e] → [B,H,N,e]. Fewer than n keys use the first M columns
// of E and F, as if the rest were zeros. Keys that `key_mask` (bool [B,M]) forbids enter as zeros. The recorder gets
// [B,H,N,k]: the keys are projections, not places.
//
// Keys `E` [k,n], `F` [k,n]. Throws Error(usage) for counts that are not positive, Error(data) for more than n keys and
// shapes that disagree.
// Wang et al., Linformer, 2020, https://arxiv.org/abs/2006.04768
class LinformerImpl : public Module<LinformerImpl> {
 public:
  explicit LinformerImpl(const LinformerOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& key_mask = {});

  LinformerOptions options;
  at::Tensor E;
  at::Tensor F;  // undefined when shared
};
FOVEA_MODULE(Linformer);

}  // namespace fovea
