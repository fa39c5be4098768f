// Convolutions in place of the patches of a vision transformer.
#pragma once

#include <vector>

#include "fovea/vision/models/conv_step.h"

namespace fovea {

struct ConvStemOptions {
  int64_t in_channels = 3;
  int64_t dim = 0;    // width of a token, a multiple of patch/2
  int64_t patch = 0;  // side of a token's pixels, a power of two, 2 or more
};

// log₂(patch) times a 3×3 convolution of stride 2, a batch norm and relu, to dim/(patch/2), …, dim/2, dim channels,
// then a 1×1 convolution. A small transformer learns with it from far fewer pictures. Keys `0.conv`, `0.bn`, …, `proj`.
// Throws Error(usage) for a patch that is no power of two and a width that does not divide. Xiao et al., Early
// Convolutions Help Transformers See Better, 2021, https://arxiv.org/abs/2106.14881
class ConvStemImpl : public Module<ConvStemImpl> {
 public:
  explicit ConvStemImpl(const ConvStemOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h·patch,w·patch] → [B,h,w,D]

  ConvStemOptions options;
  std::vector<std::shared_ptr<ConvNormImpl>> steps;
  Conv2d proj{nullptr};
};
FOVEA_MODULE(ConvStem);

}  // namespace fovea
