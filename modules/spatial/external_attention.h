// External attention: every pixel attends to a small learned memory that all images share, at linear cost.
#pragma once

#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct ExternalAttentionOptions {
  int64_t channels = 0;
  int64_t slots = 64;  // S, rows of the memory
};

// y = x + norm(W2·(A·M_v)), A [N,S] the double normalisation of scores (W1·x + b1)·M_kᵀ: softmax over the N pixels,
// then each pixel's row divided by its sum + 1e-9. [B,C,h,w] → same; N·S scores. The recorder gets A as [B,1,N,S]: the
// keys are slots, not places.
//
// Keys `conv1.*`, `linear_0.weight` [S,C,1], `linear_1.weight` [C,S,1], `conv2.0.weight`, `conv2.1.*` (the authors').
// Their closing ReLU is left to the caller. Throws Error(usage) for widths that are not positive, Error(data) naming
// the shape of x. Guo et al., Beyond Self-attention: External Attention using Two Linear Layers, 2021,
// https://arxiv.org/abs/2105.02358
class ExternalAttentionImpl : public Module<ExternalAttentionImpl> {
 public:
  explicit ExternalAttentionImpl(const ExternalAttentionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  ExternalAttentionOptions options;

  class MemoryImpl : public Module<MemoryImpl> {
   public:
    MemoryImpl(int64_t out, int64_t in) : shape{out, in, 1} { reset(); }
    void reset() override;

    std::array<int64_t, 3> shape;
    at::Tensor weight;
  };
  class OutputImpl : public Module<OutputImpl> {
   public:
    explicit OutputImpl(int64_t channels) : channels(channels) { reset(); }
    void reset() override;
    void pack() override { conv->pack_with(norm.get()); }

    int64_t channels;
    Conv2d conv = nullptr;
    BatchNorm2d norm = nullptr;
  };
  Conv2d conv1 = nullptr;
  std::shared_ptr<MemoryImpl> linear_0;  // keys
  std::shared_ptr<MemoryImpl> linear_1;  // values
  std::shared_ptr<OutputImpl> conv2;
};
FOVEA_MODULE(ExternalAttention);

}  // namespace fovea
