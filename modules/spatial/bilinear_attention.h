// Bilinear attention transform: rows of blocks mix among themselves, then columns, each by a small matrix made from the
// map.
#pragma once

#include "fovea/modules/channel/selective_kernel.h"

namespace fovea {

struct BilinearAttentionOptions {
  int64_t channels = 0;
  int64_t block = 7;      // blocks along each side: the matrices are block × block
  int64_t groups = 2;     // of channels that share matrices; divides the squeezed width
  int64_t reduction = 4;  // channels of x for each squeezed one
  double dropout = 0.2;   // of whole channels, in training
};

// y = x + conv2(f(P·conv1(x)·Q)) for each squeezed channel, where P and Q (the same for a group) move whole blocks: P =
// σ(W_p·rows) with rows that sum to 1, Q = σ(W_q·columns) with columns that sum to 1, rows and columns the largest
// values of a group's own channel over each row and column of blocks. f and both convolutions are 1×1 with a batch norm
// and ReLU. [B,C,h,w] → same. Sides that `block` does not divide are padded with zeros, then cut. The recorder gets
// what each block reads of each block, [B,groups,block²,block²], over the grid of blocks.
//
// Keys `conv1.conv.weight`, `conv1.bn.*`, `ba.conv1.*`, `ba.conv_p.weight` [groups·block²,groups,block,1],
// `ba.conv_p.bias`, `ba.conv_q.weight` [groups·block²,groups,1,block], `ba.conv2.*`, `conv2.*` (timm's
// BatNonLocalAttn). Throws Error(usage) for options that do not go together, Error(data) naming the shape of x. Chi et
// al., Non-Local Neural Networks With Grouped Bilinear Attentional Transforms, 2020,
// https://openaccess.thecvf.com/content_CVPR_2020/papers/Chi_Non-Local_Neural_Networks_With_Grouped_Bilinear_Attentional_Transforms_CVPR_2020_paper.pdf
class BilinearAttentionImpl : public Module<BilinearAttentionImpl> {
 public:
  explicit BilinearAttentionImpl(const BilinearAttentionOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  using ConvNormRelu = SelectiveKernelImpl::PathImpl;

  // A product over the blocks of a side, [B,g·block] → [B,g,block,block].
  class SideImpl : public Module<SideImpl> {
   public:
    SideImpl(int64_t groups, int64_t block, bool rows) : groups(groups), block(block), rows(rows) { reset(); }
    void reset() override;
    at::Tensor forward(const at::Tensor& pooled);

    int64_t groups, block;
    bool rows;  // false: columns
    at::Tensor weight, bias;
  };
  class TransformImpl : public Module<TransformImpl> {
   public:
    TransformImpl(const BilinearAttentionOptions& options, int64_t width) : options(options), width(width) { reset(); }
    void reset() override;
    at::Tensor forward(const at::Tensor& x, const BilinearAttentionImpl* caller);

    BilinearAttentionOptions options;
    int64_t width;
    std::shared_ptr<ConvNormRelu> conv1, conv2;
    std::shared_ptr<SideImpl> conv_p, conv_q;
  };

  BilinearAttentionOptions options;
  std::shared_ptr<ConvNormRelu> conv1, conv2;
  std::shared_ptr<TransformImpl> ba;
};
FOVEA_MODULE(BilinearAttention);

}  // namespace fovea
