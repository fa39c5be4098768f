// Cuts an image into square patches and projects each to a vector.
#pragma once

#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct PatchEmbedOptions {
  int64_t in_channels = 3;
  int64_t dim = 0;    // width of a token
  int64_t patch = 0;  // side of a patch, pixels
  bool norm = false;  // LayerNorm of each token (Swin)
  double norm_eps = 1e-5;
  bool pad = false;  // fill the last row and column of patches with zeros; otherwise such a size is an error
  bool bias = true;
  bool cut = false;  // leave out the pixels that fill no patch, at the right and the bottom
};

// token(i, j) = norm(W·patch(i, j) + b), as a convolution of kernel = stride = patch.
// Keys `proj.weight` [D,C,patch,patch], `proj.bias`, and `norm.*` with `norm`.
// Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, https://arxiv.org/abs/2010.11929
class PatchEmbedImpl : public Module<PatchEmbedImpl> {
 public:
  explicit PatchEmbedImpl(const PatchEmbedOptions& options);
  void reset() override;

  // x [B,C,h·patch,w·patch] → [B,h,w,D].
  // Throws Error(data) for another channel count, and without `pad` or `cut` for a side that is no multiple of the
  // patch.
  at::Tensor forward(const at::Tensor& x);

  // Patches along a side of `pixels`; throws as forward does.
  int64_t patches(int64_t pixels) const;

  PatchEmbedOptions options;
  Conv2d proj{nullptr};
  LayerNorm norm{nullptr};  // null without `norm`
};
FOVEA_MODULE(PatchEmbed);

}  // namespace fovea
