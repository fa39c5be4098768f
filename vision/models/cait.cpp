#include "fovea/vision/models/cait.h"

#include "fovea/modules/checks.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/patch/block.h"
#include "fovea/modules/patch/position_table.h"
#include "fovea/modules/recompute.h"
#include "fovea/modules/shape.h"

namespace fovea {

CaitBlockImpl::CaitBlockImpl(const CaitBlockOptions& options) : options(options) {
  require(options.mlp_ratio > 0, ErrorKind::usage, "CaitBlock: mlp_ratio {} must be positive", options.mlp_ratio);
  reset();
}

void CaitBlockImpl::reset() {
  const int64_t dim = options.dim;
  norm1 = register_module("norm1", LayerNorm(LayerNormOptions{.features = dim}));
  attn = nullptr;
  class_attn = nullptr;
  if (options.of_class) {
    class_attn = register_module("attn", ClassAttention({.dim = dim,
                                                         .heads = options.heads,
                                                         .qkv_bias = options.qkv_bias,
                                                         .attn_drop = options.attn_drop,
                                                         .proj_drop = options.proj_drop}));
  } else {
    attn = register_module("attn", TalkingHeads({.dim = dim,
                                                 .heads = options.heads,
                                                 .qkv_bias = options.qkv_bias,
                                                 .attn_drop = options.attn_drop,
                                                 .proj_drop = options.proj_drop}));
  }
  norm2 = register_module("norm2", LayerNorm(LayerNormOptions{.features = dim}));
  const auto hidden = static_cast<int64_t>(static_cast<double>(dim) * options.mlp_ratio);
  mlp = register_module("mlp", Mlp({.features = dim, .hidden = hidden, .dropout = options.proj_drop}));
  drop_path = register_module("drop_path", DropPath(DropPathOptions{.probability = options.drop_path}));
  gamma_1 = register_parameter("gamma_1", init_full({dim}, options.layer_scale));
  gamma_2 = register_parameter("gamma_2", init_full({dim}, options.layer_scale));
}

at::Tensor CaitBlockImpl::joined(const at::Tensor& stem, const at::Tensor& attended) {
  const auto first = add_residual(stem, drop_path->forward(attended * gamma_1));
  return add_residual(first, drop_path->forward(mlp->forward(norm2->forward(first)) * gamma_2));
}

at::Tensor CaitBlockImpl::forward(const at::Tensor& patches) {
  require(!options.of_class, ErrorKind::usage, "CaitBlock: a block of the class token needs it beside the patches");
  return joined(patches, attn->forward(norm1->forward(patches)));
}

at::Tensor CaitBlockImpl::forward(const at::Tensor& token, const at::Tensor& patches) {
  require(options.of_class, ErrorKind::usage, "CaitBlock: a block of patches takes no class token");
  return joined(token, class_attn->forward(norm1->forward(at::cat({token, patches}, 1))));
}

CaitImpl::CaitImpl(const CaitOptions& options) : options(options) {
  require(options.image_size > 0 && options.patch > 0 && options.dim > 0 && options.depth > 0 && options.heads > 0 &&
              options.class_depth > 0,
          ErrorKind::usage,
          "Cait: image_size {}, patch {}, dim {}, depth {}, class_depth {} and heads {} must be positive",
          options.image_size, options.patch, options.dim, options.depth, options.class_depth, options.heads);
  require(options.image_size % options.patch == 0, ErrorKind::usage,
          "Cait: image_size {} is not a multiple of the patch {}", options.image_size, options.patch);
  require(options.num_classes >= 0, ErrorKind::usage, "Cait: num_classes {} is negative", options.num_classes);
  require_probability("Cait", "pos_drop", options.pos_drop);
  require_probability("Cait", "head_drop", options.head_drop);
  reset();
}

void CaitImpl::reset() {
  const int64_t dim = options.dim;
  const TokenGrid own = grid(options.image_size, options.image_size);
  patch_embed = register_module("patch_embed",
                                PatchEmbed({.in_channels = options.in_channels, .dim = dim, .patch = options.patch}));
  cls_token = register_parameter("cls_token", init_truncated_normal({1, 1, dim}, 0.02));
  pos_embed = register_parameter("pos_embed", init_truncated_normal({1, own.height * own.width, dim}, 0.02));
  CaitBlockOptions block = {.dim = dim,
                            .heads = options.heads,
                            .mlp_ratio = options.mlp_ratio,
                            .qkv_bias = options.qkv_bias,
                            .layer_scale = options.layer_scale,
                            .attn_drop = options.attn_drop,
                            .proj_drop = options.proj_drop,
                            .drop_path = options.drop_path};
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < options.depth; ++i) blocks->push_back(CaitBlock(block));
  block.attn_drop = block.proj_drop = block.drop_path = 0;  // as in timm: these two act on one token
  block.mlp_ratio = 4;
  block.of_class = true;
  blocks_token_only = register_module("blocks_token_only", torch::nn::ModuleList());
  for (int64_t i = 0; i < options.class_depth; ++i) blocks_token_only->push_back(CaitBlock(block));
  norm = register_module("norm", LayerNorm(LayerNormOptions{.features = dim}));
  head = nullptr;
  if (options.num_classes == 0) return;
  head =
      register_module("head", Linear({.in_features = dim, .out_features = options.num_classes, .initial_std = 0.02}));
}

TokenGrid CaitImpl::grid(int64_t height, int64_t width) const {
  require(height > 0 && width > 0 && height % options.patch == 0 && width % options.patch == 0, ErrorKind::data,
          "Cait: an image of {}x{} pixels (height x width) does not divide into patches of {}x{}", height, width,
          options.patch, options.patch);
  return {.height = height / options.patch, .width = width / options.patch, .prefix = 1};
}

at::Tensor CaitImpl::forward_features(const at::Tensor& x) {
  require(x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data, "Cait: expected [B,{},h,w], got {}",
          options.in_channels, shape_text(x));
  const TokenGrid here = grid(x.size(2), x.size(3));
  TokenGrid from = grid(options.image_size, options.image_size), of_patches = here;
  from.prefix = of_patches.prefix = 0;
  const auto positions = resample_position_table(pos_embed, from, of_patches);
  auto patches = patch_embed->forward(x).flatten(1, 2) + positions;  // [B,h,w,D] → [B,h·w,D]
  patches = at::dropout(patches, options.pos_drop, is_training());
  {
    const TokenGridScope scope(of_patches);
    for (const auto& block : *blocks) patches = run_block<CaitBlockImpl>(block, patches);
  }
  const TokenGridScope scope(here);
  auto token = cls_token.expand({x.size(0), -1, -1});
  for (const auto& block : *blocks_token_only) token = block->as<CaitBlockImpl>()->forward(token, patches);
  return norm->forward(at::cat({token, patches}, 1));
}

at::Tensor CaitImpl::pool(const at::Tensor& features) {
  return features.select(1, 0);
}

at::Tensor CaitImpl::classify(const at::Tensor& pooled) {
  if (!head) return pooled;
  return head->forward(at::dropout(pooled, options.head_drop, is_training()));
}

}  // namespace fovea
