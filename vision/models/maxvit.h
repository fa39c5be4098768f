// MaxViT: convolutions, attention in blocks and attention in grids, in every block.
#pragma once

#include "fovea/modules/module.h"
#include "fovea/modules/patch/mlp.h"
#include "fovea/modules/window/partition_attention.h"
#include "fovea/vision/models/chain.h"
#include "fovea/vision/models/classifier_head.h"
#include "fovea/vision/models/mbconv.h"
#include "fovea/vision/models/model.h"

namespace fovea {

struct PartitionBlockOptions {
  PartitionAttentionOptions attention = {};  // its proj_drop is the MLP's too
  double mlp_ratio = 4;                      // hidden width of the MLP / dim
  Activation activation = Activation::gelu;
  double norm_eps = 1e-6;
  double drop_path = 0;  // probability that a sample skips a branch in training
};

// x ← x + attn(norm1(x)), then x ← x + mlp(norm2(x)). Keys `norm1`, `attn`, `norm2`, `mlp`.
class PartitionBlockImpl : public Module<PartitionBlockImpl> {
 public:
  explicit PartitionBlockImpl(const PartitionBlockOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,h,w,C] → same

  PartitionBlockOptions options;
  LayerNorm norm1 = nullptr;
  PartitionAttention attn = nullptr;
  LayerNorm norm2 = nullptr;
  Mlp mlp = nullptr;
  DropPath drop_path = nullptr;
};

struct MaxVitBlockOptions {
  MbConvOptions conv = {};
  PartitionBlockOptions partition = {};  // of both attentions, the grid's with `strided`
};

// The convolutions, then the block's attention, then the grid's. Keys `conv`, `attn_block`, `attn_grid`.
class MaxVitBlockImpl : public Module<MaxVitBlockImpl> {
 public:
  explicit MaxVitBlockImpl(const MaxVitBlockOptions& options) : options(options) { reset(); }
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,C',h',w']

  MaxVitBlockOptions options;
  std::shared_ptr<MbConvImpl> conv;
  std::shared_ptr<PartitionBlockImpl> attn_block, attn_grid;
};

struct MaxVitStageOptions {
  std::vector<MaxVitBlockOptions> blocks = {};
};

// Key `blocks.N`.
class MaxVitStageImpl : public Module<MaxVitStageImpl> {
 public:
  explicit MaxVitStageImpl(const MaxVitStageOptions& options) : options(options) { reset(); }
  void reset() override;
  at::Tensor forward(const at::Tensor& x) { return blocks->forward(x); }

  MaxVitStageOptions options;
  std::shared_ptr<ChainImpl<MaxVitBlockImpl>> blocks;
};

struct MaxVitOptions {
  int64_t image_size = 0;            // side, pixels; a multiple of 32
  std::vector<int64_t> stem = {};    // channels of its two convolutions
  std::vector<int64_t> dims = {};    // width of each stage
  std::vector<int64_t> depths = {};  // blocks of each stage
  int64_t head_width = 32;           // columns of a head of attention
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
  bool tensorflow = false;     // as Google published it; false: timm's own, see MaxVit
  double drop_path = 0;        // probability that a sample skips a branch of the last block, rising linearly from 0
};

// Key `conv1`, `norm1`, `conv2`: halves the sides.
class MaxVitStemImpl : public Module<MaxVitStemImpl> {
 public:
  explicit MaxVitStemImpl(const MaxVitOptions& options) : options(options) { reset(); }
  void reset() override;
  void pack() override;
  at::Tensor forward(const at::Tensor& x);

  MaxVitOptions options;
  ConvStep first, second;
};

// Keys `fc`, and Google's `norm` and `pre_logits.fc` before it.
class MaxVitHeadImpl : public Module<MaxVitHeadImpl> {
 public:
  explicit MaxVitHeadImpl(const MaxVitOptions& options) : options(options) { reset(); }
  void reset() override;
  at::Tensor pool(const at::Tensor& features);  // [B,D,h,w] → [B,D]
  at::Tensor classify(const at::Tensor& pooled) { return fc ? fc->forward(pooled) : pooled; }

  MaxVitOptions options;
  LayerNorm norm = nullptr;
  std::shared_ptr<ClassifierHeadImpl> pre_logits;
  Linear fc = nullptr;  // null without classes
};

// Stem → stages of MaxVitBlocks, the first of each at stride 2 → mean → classifier. Windows and grids have
// image_size/32 tokens a side in every stage, so that the sides of an input are multiples of image_size.
//
// Google's (`tensorflow`) has TensorFlow's padding, GELU by tanh, inner widths of 4 × the output, biases, and behind
// the mean a norm and a layer under tanh. timm's own has SiLU, inner widths of 4 × the input, and a norm before the
// mean. Keys are timm's: `stem`, `stages.S.blocks.N.{conv,attn_block,attn_grid}`, `norm` of timm's own, `head`. Tu et
// al., MaxViT: Multi-Axis Vision Transformer, 2022, https://arxiv.org/abs/2204.01697
class MaxVitImpl : public Module<MaxVitImpl>, public ImageModel {
 public:
  // Throws Error(usage) for numbers that are not positive, lists of other lengths, and an image_size that is no
  // multiple of 32.
  explicit MaxVitImpl(const MaxVitOptions& options);
  void reset() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,in,h,w] → [B,D,h/32,w/32]
  at::Tensor pool(const at::Tensor& features) override { return head->pool(features); }  // → [B,D]
  at::Tensor classify(const at::Tensor& pooled) override { return head->classify(pooled); }
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  MaxVitOptions options;
  std::shared_ptr<MaxVitStemImpl> stem;
  std::shared_ptr<ChainImpl<MaxVitStageImpl>> stages;
  LayerNorm norm = nullptr;  // null in Google's
  std::shared_ptr<MaxVitHeadImpl> head;
};
FOVEA_MODULE(MaxVit);

}  // namespace fovea
