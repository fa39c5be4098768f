// A classifier of pictures as long sequences: every pixel is a token, and what mixes the tokens can be exchanged.
#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include "fovea/modules/inference/norm.h"
#include "fovea/modules/mixing/mamba.h"
#include "fovea/modules/mixing/s4.h"
#include "fovea/modules/patch/mlp.h"
#include "fovea/modules/sparse/linformer.h"
#include "fovea/modules/sparse/sparse_attention.h"
#include "fovea/vision/models/model.h"

namespace fovea {

enum class PixelMixer {
  dense,      // attention of all tokens to all
  window,     // attention to the pixels within `reach` rows and columns
  linear,     // linear attention, elu + 1
  linformer,  // attention to `projected` mixtures of the tokens
  s4,         // diagonal state space, in row order, causal
  mamba,      // selective state space, in row order, causal
};

struct PixelMixerOptions {
  PixelMixer kind = PixelMixer::dense;
  int64_t height = 0;  // pixels
  int64_t width = 0;
  int64_t dim = 0;         // of a token, a multiple of heads
  int64_t heads = 2;       // of attention
  int64_t reach = 3;       // of window
  int64_t projected = 64;  // of linformer
  int64_t state = 16;      // of s4 and mamba, a channel
};

// [B,h·w,D] → same. Attention has keys `qkv`, `proj`, Linformer `projection.E` and `projection.F` beside them; the
// state spaces `s4.…`, `mamba.…`.
class PixelMixerImpl : public Module<PixelMixerImpl> {
 public:
  explicit PixelMixerImpl(const PixelMixerOptions& options);
  void reset() override;
  std::vector<at::Tensor*> tables() override;
  at::Tensor forward(const at::Tensor& x);

  PixelMixerOptions options;
  Linear qkv{nullptr}, proj{nullptr};  // null in state spaces
  Linformer projection{nullptr};
  S4 s4{nullptr};
  Mamba mamba{nullptr};

 private:
  at::Tensor attended(const at::Tensor& x);

  std::optional<SparseLayout> window_;
};

struct PixelClassifierOptions {
  PixelMixerOptions mixer;
  int64_t depth = 0;        // blocks
  int64_t mlp_ratio = 2;    // hidden width of the MLPs / dim
  int64_t in_channels = 3;  // of a pixel
  int64_t num_classes = 2;  // 0: no classifier
};

// x ← x + mixer(norm1(x)), then x ← x + mlp(norm2(x)). Keys `norm1`, `mixer`, `norm2`, `mlp`.
class PixelBlockImpl : public Module<PixelBlockImpl> {
 public:
  explicit PixelBlockImpl(const PixelClassifierOptions& options) : options(options) { reset(); }
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  PixelClassifierOptions options;
  LayerNorm norm1{nullptr}, norm2{nullptr};
  std::shared_ptr<PixelMixerImpl> mixer;
  Mlp mlp{nullptr};
};

// Pixels → a product to D columns plus learned positions → blocks → LayerNorm → the mean of the tokens → a linear
// classifier: the setting of Long Range Arena, small. Keys `embed`, `pos_embed` [1,h·w,D], `blocks.N`, `norm`, `head`.
// Throws Error(usage) for numbers that do not go together, Error(data) for pictures of another size.
// Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020, https://arxiv.org/abs/2011.04006
class PixelClassifierImpl : public Module<PixelClassifierImpl>, public ImageModel {
 public:
  explicit PixelClassifierImpl(const PixelClassifierOptions& options);
  void reset() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,C,h,w] → [B,h·w,D]
  at::Tensor pool(const at::Tensor& features) override;       // → [B,D]
  at::Tensor classify(const at::Tensor& pooled) override;
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  PixelClassifierOptions options;
  Linear embed{nullptr};
  at::Tensor pos_embed;
  torch::nn::ModuleList blocks;  // of PixelBlockImpl
  LayerNorm norm{nullptr};
  Linear head{nullptr};  // null without classes
};
FOVEA_MODULE(PixelClassifier);

}  // namespace fovea
