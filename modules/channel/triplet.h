// Triplet attention: the spatial gate of CBAM thrice, over each pair of the three sides of a feature map.
#pragma once

#include "fovea/modules/channel/cbam.h"

namespace fovea {

struct TripletAttentionOptions {
  int64_t kernel = 7;      // side of the convolutions, odd
  bool spatial = true;     // the branch over rows and columns; false: the two with channels alone
  double momentum = 0.01;  // of the batch norms, as the authors have it
};

// y = mean over branches of x·σ(norm(conv([max, mean]))), the pooling over rows (branch `cw`), over columns (`hc`) and
// over channels (`hw`). [B,C,h,w] → same, any C. The recorder gets the mean of the gates.
//
// Keys `cw.conv.conv.weight` [1,2,k,k], `cw.conv.bn.*`, `hc.…`, `hw.…` (the authors'). Throws Error(usage) for an even
// kernel, Error(data) naming the shape of x.
// Misra et al., Rotate to Attend: Convolutional Triplet Attention Module, 2021, https://arxiv.org/abs/2010.03045
class TripletAttentionImpl : public Module<TripletAttentionImpl> {
 public:
  explicit TripletAttentionImpl(const TripletAttentionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  TripletAttentionOptions options;

  class BranchImpl : public Module<BranchImpl> {
   public:
    BranchImpl(const TripletAttentionOptions& options, int64_t pooled);
    void reset() override;
    at::Tensor forward(const at::Tensor& x);  // → the gate, of size 1 along the pooled dimension

    TripletAttentionOptions options;
    int64_t pooled;  // 1 channels, 2 rows, 3 columns
    std::shared_ptr<CbamConvImpl> conv;
  };
  std::vector<std::shared_ptr<BranchImpl>> branches;
};
FOVEA_MODULE(TripletAttention);

}  // namespace fovea
