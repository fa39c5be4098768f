#include "fovea/vision/models/vit.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/patch/position_table.h"

namespace fovea {

VitImpl::VitImpl(const VitOptions& options) : options(options) {
  require(options.image_size > 0 && options.patch > 0 && options.dim > 0 && options.depth > 0 && options.heads > 0,
          ErrorKind::usage, "Vit: image_size {}, patch {}, dim {}, depth {} and heads {} must be positive",
          options.image_size, options.patch, options.dim, options.depth, options.heads);
  require(options.image_size % options.patch == 0, ErrorKind::usage,
          "Vit: image_size {} is not a multiple of the patch {}", options.image_size, options.patch);
  require(options.num_classes >= 0, ErrorKind::usage, "Vit: num_classes {} is negative", options.num_classes);
  require_probability("Vit", "pos_drop", options.pos_drop);
  require_probability("Vit", "head_drop", options.head_drop);
  reset();
}

void VitImpl::reset() {
  const int64_t dim = options.dim;
  const TokenGrid own = grid(options.image_size, options.image_size);
  cls_token = register_parameter("cls_token", init_truncated_normal({1, 1, dim}, 1e-6));
  dist_token = at::Tensor();
  if (options.distilled) dist_token = register_parameter("dist_token", init_truncated_normal({1, 1, dim}, 0.02));
  pos_embed =
      register_parameter("pos_embed", init_truncated_normal({1, own.prefix + own.height * own.width, dim}, 0.02));
  patch_embed = register_module("patch_embed",
                                PatchEmbed({.in_channels = options.in_channels, .dim = dim, .patch = options.patch}));
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < options.depth; ++i) {
    blocks->push_back(PreNormBlock({.dim = dim,
                                    .heads = options.heads,
                                    .mlp_ratio = options.mlp_ratio,
                                    .qkv_bias = options.qkv_bias,
                                    .attn_drop = options.attn_drop,
                                    .proj_drop = options.proj_drop,
                                    .drop_path = drop_path_rate(options.drop_path, i, options.depth),
                                    .layer_scale = options.layer_scale}));
  }
  norm = register_module("norm", LayerNorm(LayerNormOptions{.features = dim}));
  head = head_dist = nullptr;
  if (options.num_classes == 0) return;
  const LinearOptions classifier = {.in_features = dim, .out_features = options.num_classes, .initial_std = 0.02};
  head = register_module("head", Linear(classifier));
  if (options.distilled) head_dist = register_module("head_dist", Linear(classifier));
}

TokenGrid VitImpl::grid(int64_t height, int64_t width) const {
  const auto patches = [&](int64_t pixels) {
    require(pixels > 0 && pixels % options.patch == 0, ErrorKind::data,
            "Vit: an image of {}x{} pixels (height x width) does not divide into patches of {}x{}", height, width,
            options.patch, options.patch);
    return pixels / options.patch;
  };
  return {.height = patches(height), .width = patches(width), .prefix = options.distilled ? 2 : 1};
}

at::Tensor VitImpl::embed(const at::Tensor& x, const TokenGrid& here) {
  const int64_t batch = x.size(0);
  const auto patches = patch_embed->forward(x).flatten(1, 2);  // [B,h,w,D] → [B,h·w,D]
  const auto positions = resample_position_table(pos_embed, grid(options.image_size, options.image_size), here);
  std::vector<at::Tensor> tokens = {cls_token.expand({batch, -1, -1})};
  if (options.distilled) tokens.push_back(dist_token.expand({batch, -1, -1}));
  tokens.push_back(patches);
  // The joined tensor is ours and no backward formula reads it: the positions are added in place.
  return at::dropout(at::cat(tokens, 1).add_(positions), options.pos_drop, is_training());
}

at::Tensor VitImpl::forward_features(const at::Tensor& x) {
  require(x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data, "Vit: expected [B,{},h,w], got [{}]",
          options.in_channels, fmt::join(x.sizes(), ","));
  const TokenGrid here = grid(x.size(2), x.size(3));
  const TokenGridScope scope(here);
  auto tokens = embed(x, here);
  for (const auto& block : *blocks) tokens = block->as<PreNormBlock>()->forward(tokens);
  return norm->forward(tokens);
}

at::Tensor VitImpl::pool(const at::Tensor& features) {
  if (!options.distilled) return features.select(1, 0);
  return (features.select(1, 0) + features.select(1, 1)) / 2;
}

at::Tensor VitImpl::head_input(const at::Tensor& features, int64_t token) {
  return at::dropout(features.select(1, token), options.head_drop, is_training());
}

at::Tensor VitImpl::classify(const at::Tensor& pooled) {
  if (!head) return pooled;
  require(!options.distilled, ErrorKind::usage,
          "Vit: the two heads of a distilled model read their own tokens; ask logits(features) instead of classify");
  return head->forward(at::dropout(pooled, options.head_drop, is_training()));
}

at::Tensor VitImpl::logits(const at::Tensor& features) {
  if (!options.distilled || !head) return classify(pool(features));
  const auto [from_class, from_teacher] = logits_of_both(features);
  return (from_class + from_teacher) / 2;
}

std::pair<at::Tensor, at::Tensor> VitImpl::logits_of_both(const at::Tensor& features) {
  require(static_cast<bool>(head_dist), ErrorKind::usage, "Vit: logits_of_both needs a distilled model with classes");
  return {head->forward(head_input(features, 0)), head_dist->forward(head_input(features, 1))};
}

}  // namespace fovea
