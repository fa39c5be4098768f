// Split attention (ResNeSt): a grouped convolution makes several versions of each channel, a softmax mixes them.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct SplitAttentionOptions {
  int64_t channels = 0;
  int64_t out_channels = 0;  // 0: channels
  int64_t kernel = 3;        // side of the convolution, pixels, odd
  int64_t stride = 1;
  int64_t groups = 1;     // cardinality
  int64_t radix = 2;      // versions of each channel; 1: a sigmoid gate instead of the softmax
  int64_t reduction = 4;  // channels · radix for each squeezed one
  bool norm = false;      // batch norms behind the convolution and the first layer, as ResNeSt's blocks have
};

// y = Σ_r a_r·u_r, u = relu(norm(conv(x))) in `radix` parts of C', a = softmax over parts of
// W2·relu(norm(W1·mean(Σ_r u_r) + b1)) + b2, both layers in `groups`. [B,C,h,w] → [B,C',h/stride,w/stride].
// The recorder gets a as [B,radix·C'], part by part.
//
// Keys `conv.weight` [radix·C',C/(groups·radix),k,k], `bn0.*`, `fc1.*`, `bn1.*`, `fc2.*` (timm's SplitAttn). Throws
// Error(usage) for options that do not go together and, with norm, for a training batch of one image; Error(data)
// naming the shape of x.
// Zhang et al., ResNeSt: Split-Attention Networks, 2020, https://arxiv.org/abs/2004.08955
class SplitAttentionImpl : public Module<SplitAttentionImpl> {
 public:
  explicit SplitAttentionImpl(const SplitAttentionOptions& options);
  void reset() override;
  void pack() override { conv->pack_with(bn0 ? bn0.get() : nullptr); }
  at::Tensor forward(const at::Tensor& x);

  SplitAttentionOptions options;  // with the zero resolved
  Conv2d conv = nullptr;
  BatchNorm2d bn0 = nullptr;
  Conv2d fc1 = nullptr;
  BatchNorm2d bn1 = nullptr;
  Conv2d fc2 = nullptr;
};
FOVEA_MODULE(SplitAttention);

}  // namespace fovea
