// Coordinate attention: a gate a row and a gate a column, each for every channel.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct CoordinateAttentionOptions {
  int64_t channels = 0;
  int64_t reduction = 24;  // channels of x for each squeezed one: timm's 16 · 3/2; the authors 32
  int64_t divisor = 8;     // the squeezed width is rounded to a multiple of this, and at least this
  Gate gate = Gate::sigmoid;
};

// y_cij = x_cij·gate(W_h·f_i)_c·gate(W_w·g_j)_c, where f (rows) and g (columns) are hardswish(norm(W·…)) of the means
// along the other side, with one W and norm for both. [B,C,h,w] → same. The recorder gets the product of both gates.
//
// Keys `conv1.weight`, `bn1.*`, `conv_h.weight`, `conv_w.weight` (timm's CoordAttn). Throws Error(usage) for options
// that are not positive, Error(data) naming the shape of x.
// Hou et al., Coordinate Attention for Efficient Mobile Network Design, 2021, https://arxiv.org/abs/2103.02907
class CoordinateAttentionImpl : public Module<CoordinateAttentionImpl> {
 public:
  explicit CoordinateAttentionImpl(const CoordinateAttentionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  CoordinateAttentionOptions options;
  Conv2d conv1 = nullptr;
  BatchNorm2d bn1 = nullptr;
  Conv2d conv_h = nullptr;
  Conv2d conv_w = nullptr;
};
FOVEA_MODULE(CoordinateAttention);

}  // namespace fovea
