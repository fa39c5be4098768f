// Coordinate attention without its norm: rows and columns add up before one gate.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/linear.h"

namespace fovea {

struct SimpleCoordinateOptions {
  int64_t channels = 0;
  int64_t reduction = 6;  // channels of x for each squeezed one: timm's 4 · 3/2
  int64_t divisor = 8;    // the squeezed width is rounded to a multiple of this, and at least this
  Gate gate = Gate::sigmoid;
};

// x·gate(W_h·f_i + W_w·g_j), f and g the SiLU of W·(means along the other side) + b. [B,C,h,w] → same. The recorder
// gets the gate.
//
// Keys `fc1.*`, `fc_h.*`, `fc_w.*` (timm's SimpleCoordAttn). Throws Error(usage) for options that are not positive,
// Error(data) naming the shape of x. After Hou et al., 2021, https://arxiv.org/abs/2103.02907
class SimpleCoordinateImpl : public Module<SimpleCoordinateImpl> {
 public:
  explicit SimpleCoordinateImpl(const SimpleCoordinateOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  SimpleCoordinateOptions options;
  Linear fc1 = nullptr;
  Linear fc_h = nullptr;
  Linear fc_w = nullptr;
};
FOVEA_MODULE(SimpleCoordinate);

}  // namespace fovea
