// The non-local block: every pixel is moved towards what the pixels like it hold.
#pragma once

#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct NonLocalOptions {
  int64_t channels = 0;
  int64_t reduction = 8;  // channels of x for each one of queries, keys and values
  bool scale = true;      // scores are divided by √channels (timm); false: taken as they are (the paper)
};

// y = x + norm(z(softmax(t(x)·p(x)ᵀ·scale)·g(x))), t, p, g and z products over channels. [B,C,h,w] → same, N = h·w
// tokens, N² scores. The norm's gain starts at 0, so that a new block changes nothing.
//
// Keys `t`, `p`, `g`, `z` (weight and bias), `norm.*` (timm's NonLocalAttn). Throws Error(usage) for widths that are
// not positive, Error(data) naming the shape of x. Wang et al., Non-local Neural Networks, 2018,
// https://arxiv.org/abs/1711.07971
class NonLocalImpl : public Module<NonLocalImpl> {
 public:
  explicit NonLocalImpl(const NonLocalOptions& options);
  void reset() override;
  void pack() override { z->pack_with(norm.get()); }
  at::Tensor forward(const at::Tensor& x);

  NonLocalOptions options;
  Conv2d t = nullptr, p = nullptr, g = nullptr, z = nullptr;
  BatchNorm2d norm = nullptr;
};
FOVEA_MODULE(NonLocal);

}  // namespace fovea
