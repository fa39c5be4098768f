// Vision Transformer and its kin: DeiT, DINOv2 with registers, the image towers of CLIP and SigLIP.
#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include "fovea/modules/module.h"
#include "fovea/modules/patch/attention_pool.h"
#include "fovea/modules/patch/block.h"
#include "fovea/modules/patch/patch_embed.h"
#include "fovea/modules/patch/position_table.h"
#include "fovea/vision/models/hybrid_embed.h"
#include "fovea/vision/models/model.h"

namespace fovea {

// How tokens become the features of the image.
enum class VitPool {
  class_token,        // the class token, or the mean of it and the distillation token
  average,            // the mean of the patches
  attention,          // a learned query reads the patches (SigLIP)
  class_and_average,  // [class token | mean of the patches], 2D wide (DINOv2's classifiers)
};

struct VitOptions {
  int64_t image_size = 0;  // side the position table is built for, pixels, a multiple of patch
  int64_t patch = 0;       // side of a patch, pixels
  int64_t dim = 0;         // width of a token, a multiple of heads
  int64_t depth = 0;       // blocks
  int64_t heads = 0;
  double mlp_ratio = 4;  // hidden width of the MLPs / dim
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
  bool distilled = false;      // a second token and head, taught by another network
  bool qkv_bias = true;
  double layer_scale = 0;  // first value of the LayerScale factors; 0: none
  double pos_drop = 0;     // dropout of the tokens before the first block
  double attn_drop = 0;    // of the attention probabilities
  double proj_drop = 0;    // after the products of attention and MLP
  double head_drop = 0;    // of the pooled features
  double drop_path = 0;    // probability that a sample skips a branch of the last block, rising linearly from 0
  bool class_token = true;
  int64_t registers = 0;     // learned tokens behind the class token
  bool embed_prefix = true;  // false: the tokens before the patches have no positions
  bool pre_norm = false;     // a LayerNorm before the first block; patches without bias (CLIP)
  VitPool pool = VitPool::class_token;
  bool fc_norm = false;                      // the last LayerNorm comes after pooling
  Activation activation = Activation::gelu;  // of the MLPs
  bool swiglu = false;                       // gated MLPs, whose gate counts in mlp_ratio
  double norm_eps = 1e-6;                    // of the LayerNorms
  bool head_bias = true;                     // of the classifier
  bool cut = false;  // pixels at the right and the bottom that fill no patch are left out; otherwise an error
  TableResampling resampling = TableResampling::antialiased;  // of the position table, for other grids than its own
  bool last_norm = true;          // false: without fc_norm, tokens are pooled as the last block leaves them
  bool sinusoidal_start = false;  // the position table starts as sinusoids of two dimensions, not as noise
  bool at_places = false;         // the logits are most_of_places of the patches, not those of what is pooled
  // A HybridEmbed in place of the patches: makes a CNN without classifier, of so many input channels, whose places are
  // as large as a patch. Null: none
  std::shared_ptr<ImageModel> (*backbone)(int64_t in_channels) = nullptr;
  int64_t backbone_channels = 0;  // of its features
};

// Patches → tokens behind the class token (and the distillation token, and registers), plus learned positions → pre-LN
// blocks → LayerNorm → the class token → a linear classifier. Keys follow timm: `cls_token`, `dist_token`, `reg_token`,
// `pos_embed`, `patch_embed.proj`, `patch_embed.backbone`, `norm_pre`, `blocks.N.*`, `norm` or `fc_norm`, `attn_pool`,
// `head`, `head_dist`.
//
// An input may have any size that is a multiple of the patch: the position table is resampled for the call when the
// grid differs (timm's dynamic_img_size). Maps of `attn_pool` know their grid within forward() alone.
// Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, https://arxiv.org/abs/2010.11929
// Touvron et al., Training data-efficient image transformers, 2020, https://arxiv.org/abs/2012.12877
// Touvron et al., DeiT III: Revenge of the ViT, 2022, https://arxiv.org/abs/2204.07118
// Oquab et al., DINOv2, 2023, https://arxiv.org/abs/2304.07193
// Darcet et al., Vision Transformers Need Registers, 2023, https://arxiv.org/abs/2309.16588
// Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
// https://arxiv.org/abs/2103.00020
// Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023, https://arxiv.org/abs/2303.15343
class VitImpl : public Module<VitImpl>, public ImageModel {
 public:
  explicit VitImpl(const VitOptions& options);
  void reset() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,C,h,w] → [B,prefix+h'·w',D]
  at::Tensor pool(const at::Tensor& features) override;       // → [B,D], or [B,2D], as options.pool says
  // Throws Error(usage) for a distilled model: its heads read tokens that are gone once pooled; see logits().
  at::Tensor classify(const at::Tensor& pooled) override;
  at::Tensor logits(const at::Tensor& features) override;  // distilled: the mean of both heads
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  // Logits of the class head and of the distillation head, apart, as distillation trains them.
  // Throws Error(usage) unless the model is distilled.
  std::pair<at::Tensor, at::Tensor> logits_of_both(const at::Tensor& features);

  VitOptions options;
  PatchEmbed patch_embed{nullptr};    // null with a backbone
  HybridEmbed hybrid_embed{nullptr};  // else null
  at::Tensor cls_token;               // [1,1,D], undefined without
  at::Tensor dist_token;              // [1,1,D], undefined unless distilled
  at::Tensor reg_token;               // [1,registers,D], undefined without
  at::Tensor pos_embed;               // [1,prefix+h'·w',D] of image_size, prefix 0 without embed_prefix
  LayerNorm norm_pre{nullptr};        // null without pre_norm
  torch::nn::ModuleList blocks;       // of PreNormBlock
  LayerNorm norm{nullptr};            // null with fc_norm, and without last_norm
  LayerNorm fc_norm{nullptr};         // else null
  AttentionPool attn_pool{nullptr};   // null unless it pools
  Linear head{nullptr};               // null without classes
  Linear head_dist{nullptr};          // null unless distilled

 private:
  int64_t prefix() const;  // tokens before the patches
  at::Tensor positions(const TokenGrid& here) const;
  at::Tensor embed(const at::Tensor& x, const TokenGrid& here);
  at::Tensor head_input(const at::Tensor& features, int64_t token);
};
FOVEA_MODULE(Vit);

}  // namespace fovea
