// BAM: a gate for each channel of each pixel, from a channel branch and a spatial branch.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/linear.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

enum class BamFusion {
  sum,      // of the two branches' scores: the paper
  product,  // the authors' code
};

struct BamOptions {
  int64_t channels = 0;
  int64_t reduction = 16;  // channels of x for each squeezed one, in both branches
  int64_t dilation = 4;    // of the two 3×3 convolutions, pixels
  BamFusion fusion = BamFusion::sum;
};

// y = x·(1 + σ(c ⊕ s)), with c [B,C,1,1] = fc(relu(norm(fc(mean over pixels)))) and
// s [B,1,h,w] = conv1×1(two of relu(norm(conv3×3 dilated)) (relu(norm(conv1×1 to C/r)))). [B,C,h,w] → same.
// The recorder gets σ(c ⊕ s) [B,C,h,w].
//
// Keys `fc1`, `bn`, `fc2` of the channel branch; `conv1`, `bn1` … `conv3`, `bn3`, `conv_last` of the spatial one.
// Throws Error(usage) for options that are not positive, and for a training batch of one image; Error(data) naming the
// shape of x.
// Park et al., BAM: Bottleneck Attention Module, 2018, https://arxiv.org/abs/1807.06514
class BamImpl : public Module<BamImpl> {
 public:
  explicit BamImpl(const BamOptions& options);
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);

  BamOptions options;

  Linear fc1 = nullptr;
  BatchNorm2d bn = nullptr;
  Linear fc2 = nullptr;
  std::vector<std::pair<Conv2d, BatchNorm2d>> steps;  // of the spatial branch
  Conv2d conv_last = nullptr;
};
FOVEA_MODULE(Bam);

}  // namespace fovea
