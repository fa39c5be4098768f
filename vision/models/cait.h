// CaiT: deep transformers of patches whose last blocks feed the class token alone.
#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include "fovea/modules/attention/class_attention.h"
#include "fovea/modules/attention/talking_heads.h"
#include "fovea/modules/inference/norm.h"
#include "fovea/modules/patch/drop_path.h"
#include "fovea/modules/patch/mlp.h"
#include "fovea/modules/patch/patch_embed.h"
#include "fovea/vision/models/model.h"

namespace fovea {

struct CaitOptions {
  int64_t image_size = 0;   // side the position table is built for, pixels, a multiple of patch
  int64_t patch = 16;       // side of a patch, pixels
  int64_t dim = 0;          // width of a token, a multiple of heads
  int64_t depth = 0;        // blocks of patches
  int64_t class_depth = 2;  // blocks of the class token
  int64_t heads = 0;
  double mlp_ratio = 4;  // hidden width of the MLPs / dim
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
  bool qkv_bias = true;
  double layer_scale = 1e-5;  // first value of the factors of the branches
  double pos_drop = 0;        // dropout of the tokens before the first block
  double attn_drop = 0;       // of the attention probabilities
  double proj_drop = 0;       // after the products of attention and MLP
  double head_drop = 0;       // of the pooled features
  double drop_path = 0;       // probability that a sample skips a branch of any block of patches
};

struct CaitBlockOptions {
  int64_t dim = 0;
  int64_t heads = 0;
  double mlp_ratio = 4;
  bool qkv_bias = true;
  double layer_scale = 1e-5;
  double attn_drop = 0;
  double proj_drop = 0;
  double drop_path = 0;
  bool of_class = false;  // attention of the class token; else of all patches, with talking heads
};

// x ← x + γ1·attn(norm1(x)), then x ← x + γ2·mlp(norm2(x)), each branch under DropPath; with of_class, x is the class
// token and attention reads it before the patches. Keys `norm1`, `attn`, `norm2`, `mlp`, `gamma_1`, `gamma_2`.
class CaitBlockImpl : public Module<CaitBlockImpl> {
 public:
  explicit CaitBlockImpl(const CaitBlockOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& patches);                           // [B,N,D] → same
  at::Tensor forward(const at::Tensor& token, const at::Tensor& patches);  // [B,1,D], [B,N,D] → [B,1,D]

  CaitBlockOptions options;
  LayerNorm norm1{nullptr};
  TalkingHeads attn{nullptr};          // null with of_class
  ClassAttention class_attn{nullptr};  // else null; its key is `attn` as well
  LayerNorm norm2{nullptr};
  Mlp mlp{nullptr};
  DropPath drop_path{nullptr};
  at::Tensor gamma_1;
  at::Tensor gamma_2;

 private:
  at::Tensor joined(const at::Tensor& stem, const at::Tensor& attended);
};
FOVEA_MODULE(CaitBlock);

// Patches plus learned positions → blocks → the class token, which blocks of its own feed from the patches → LayerNorm
// of all → the class token → a linear classifier. Keys follow timm: `cls_token`, `pos_embed`, `patch_embed.proj`,
// `blocks.N`, `blocks_token_only.N`, `norm`, `head`.
//
// An input may have any size that is a multiple of the patch: the position table is resampled for the call when the
// grid differs.
// Touvron et al., Going deeper with Image Transformers, 2021, https://arxiv.org/abs/2103.17239
class CaitImpl : public Module<CaitImpl>, public ImageModel {
 public:
  explicit CaitImpl(const CaitOptions& options);
  void reset() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,C,h,w] → [B,1+h'·w',D]
  at::Tensor pool(const at::Tensor& features) override;       // → [B,D], the class token
  at::Tensor classify(const at::Tensor& pooled) override;
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  CaitOptions options;
  PatchEmbed patch_embed{nullptr};
  at::Tensor cls_token;                     // [1,1,D]
  at::Tensor pos_embed;                     // [1,h'·w',D] of image_size
  torch::nn::ModuleList blocks;             // of CaitBlock
  torch::nn::ModuleList blocks_token_only;  // of CaitBlock with of_class
  LayerNorm norm{nullptr};
  Linear head{nullptr};  // null without classes
};
FOVEA_MODULE(Cait);

}  // namespace fovea
