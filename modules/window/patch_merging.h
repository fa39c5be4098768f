// Halves the grid between the stages of Swin.
#pragma once

#include "fovea/modules/inference/linear.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct PatchMergingOptions {
  int64_t dim = 0;         // C, width of a token coming in
  int64_t out_dim = 0;     // width of a token going out; 0: 2C
  bool post_norm = false;  // the norm comes after the product (SwinV2)
};

// reduction(norm([x(2i,2j) | x(2i+1,2j) | x(2i,2j+1) | x(2i+1,2j+1)])), an odd side padded with a row or column of
// zeros. Keys `norm.*` [4C], or [out] with post_norm, `reduction.weight` [out,4C].
// Liu et al., Swin Transformer, 2021, https://arxiv.org/abs/2103.14030
class PatchMergingImpl : public Module<PatchMergingImpl> {
 public:
  explicit PatchMergingImpl(const PatchMergingOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,h,w,C] → [B,⌈h/2⌉,⌈w/2⌉,out]

  PatchMergingOptions options;
  LayerNorm norm{nullptr};
  Linear reduction{nullptr};
};
FOVEA_MODULE(PatchMerging);

}  // namespace fovea
