// Conditional places: a depthwise convolution over the grid, so that a token learns from its neighbours and the border
// where it stands. Any size of picture.
#pragma once

#include "fovea/modules/inference/conv2d.h"

namespace fovea {

struct ConditionalPositionOptions {
  int64_t width = 0;   // D
  int64_t kernel = 3;  // side of the convolution, odd
};

// x + conv(x) on the grid; tokens of the prefix stay. x [B,prefix+h·w,D] → same. Keys `proj.0.weight` [D,1,k,k],
// `proj.0.bias` (CPVT's PEG). Throws Error(data) naming the shape of x.
// Chu et al., Conditional Positional Encodings for Vision Transformers, 2021, https://arxiv.org/abs/2102.10882
class ConditionalPositionImpl : public Module<ConditionalPositionImpl> {
 public:
  explicit ConditionalPositionImpl(const ConditionalPositionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x, int64_t height, int64_t width, int64_t prefix = 0);

  ConditionalPositionOptions options;

  class ProjImpl : public Module<ProjImpl> {
   public:
    explicit ProjImpl(const ConditionalPositionOptions& options) : options(options) { reset(); }
    void reset() override;

    ConditionalPositionOptions options;
    Conv2d conv = nullptr;
  };
  std::shared_ptr<ProjImpl> proj;
};
FOVEA_MODULE(ConditionalPosition);

}  // namespace fovea
