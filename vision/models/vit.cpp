#include "fovea/vision/models/vit.h"

#include "fovea/modules/checks.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/position/sinusoidal.h"
#include "fovea/modules/recompute.h"
#include "fovea/modules/shape.h"
#include "fovea/vision/models/place_logits.h"

namespace fovea {

VitImpl::VitImpl(const VitOptions& options) : options(options) {
  require(options.image_size > 0 && options.patch > 0 && options.dim > 0 && options.depth > 0 && options.heads > 0,
          ErrorKind::usage, "Vit: image_size {}, patch {}, dim {}, depth {} and heads {} must be positive",
          options.image_size, options.patch, options.dim, options.depth, options.heads);
  require(options.image_size % options.patch == 0 || (options.cut && options.image_size > options.patch),
          ErrorKind::usage, "Vit: image_size {} is not a multiple of the patch {}", options.image_size, options.patch);
  require(!options.at_places || !(options.distilled || options.fc_norm || options.pool == VitPool::class_and_average),
          ErrorKind::usage, "Vit: with at_places the classifier reads tokens as they are");
  require(!options.backbone || !(options.cut || options.pre_norm), ErrorKind::usage,
          "Vit: with a backbone there is no cut and no pre_norm");
  require(options.num_classes >= 0, ErrorKind::usage, "Vit: num_classes {} is negative", options.num_classes);
  require(options.registers >= 0, ErrorKind::usage, "Vit: registers {} is negative", options.registers);
  const bool reads_class = options.pool == VitPool::class_token || options.pool == VitPool::class_and_average;
  require(!options.sinusoidal_start || !options.embed_prefix || prefix() == 0, ErrorKind::usage,
          "Vit: sinusoidal_start is of a table of patches alone");
  require(options.class_token || !(reads_class || options.distilled), ErrorKind::usage,
          "Vit: class_token false leaves nothing for the pooling or the distilled head to read");
  require(!options.distilled || (options.pool == VitPool::class_token && !options.fc_norm), ErrorKind::usage,
          "Vit: a distilled model reads its two tokens; leave pool and fc_norm as they are");
  require_probability("Vit", "pos_drop", options.pos_drop);
  require_probability("Vit", "head_drop", options.head_drop);
  reset();
}

void VitImpl::reset() {
  const int64_t dim = options.dim;
  const LayerNormOptions layer_norm = {.features = dim, .eps = options.norm_eps};
  const TokenGrid own = grid(options.image_size, options.image_size);
  cls_token = dist_token = reg_token = at::Tensor();
  if (options.class_token) cls_token = register_parameter("cls_token", init_truncated_normal({1, 1, dim}, 1e-6));
  if (options.distilled) dist_token = register_parameter("dist_token", init_truncated_normal({1, 1, dim}, 0.02));
  if (options.registers > 0) {
    reg_token = register_parameter("reg_token", init_truncated_normal({1, options.registers, dim}, 1e-6));
  }
  const int64_t placed = (options.embed_prefix ? own.prefix : 0) + own.height * own.width;
  pos_embed = register_parameter("pos_embed", options.sinusoidal_start
                                                  ? sinusoidal_start(own.height, own.width, dim).unsqueeze(0)
                                                  : init_truncated_normal({1, placed, dim}, 0.02));
  patch_embed = nullptr;
  hybrid_embed = nullptr;
  if (options.backbone) {
    hybrid_embed =
        register_module("patch_embed", HybridEmbed({.backbone = [o = options] { return o.backbone(o.in_channels); },
                                                    .channels = options.backbone_channels,
                                                    .dim = dim}));
  } else {
    patch_embed = register_module("patch_embed", PatchEmbed({.in_channels = options.in_channels,
                                                             .dim = dim,
                                                             .patch = options.patch,
                                                             .bias = !options.pre_norm,
                                                             .cut = options.cut}));
  }
  norm_pre = norm = fc_norm = nullptr;
  if (options.pre_norm) norm_pre = register_module("norm_pre", LayerNorm(layer_norm));
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < options.depth; ++i) {
    blocks->push_back(PreNormBlock({.dim = dim,
                                    .heads = options.heads,
                                    .mlp_ratio = options.mlp_ratio,
                                    .qkv_bias = options.qkv_bias,
                                    .attn_drop = options.attn_drop,
                                    .proj_drop = options.proj_drop,
                                    .drop_path = drop_path_rate(options.drop_path, i, options.depth),
                                    .layer_scale = options.layer_scale,
                                    .norm_eps = options.norm_eps,
                                    .activation = options.activation,
                                    .swiglu = options.swiglu}));
  }
  if (!options.fc_norm && options.last_norm) norm = register_module("norm", LayerNorm(layer_norm));
  attn_pool = nullptr;
  if (options.pool == VitPool::attention) {
    attn_pool = register_module("attn_pool", AttentionPool({.dim = dim,
                                                            .heads = options.heads,
                                                            .mlp_ratio = options.mlp_ratio,
                                                            .activation = options.activation,
                                                            .norm_eps = options.norm_eps}));
  }
  if (options.fc_norm) fc_norm = register_module("fc_norm", LayerNorm(layer_norm));
  head = head_dist = nullptr;
  if (options.num_classes == 0) return;
  const LinearOptions classifier = {.in_features = options.pool == VitPool::class_and_average ? 2 * dim : dim,
                                    .out_features = options.num_classes,
                                    .bias = options.head_bias,
                                    .initial_std = 0.02};
  head = register_module("head", Linear(classifier));
  if (options.distilled) head_dist = register_module("head_dist", Linear(classifier));
}

int64_t VitImpl::prefix() const {
  return (options.class_token ? 1 : 0) + (options.distilled ? 1 : 0) + options.registers;
}

TokenGrid VitImpl::grid(int64_t height, int64_t width) const {
  const auto patches = [&](int64_t pixels) {
    const bool whole = pixels % options.patch == 0 || (options.cut && pixels > options.patch);
    require(pixels > 0 && whole, ErrorKind::data,
            "Vit: an image of {}x{} pixels (height x width) does not divide into patches of {}x{}", height, width,
            options.patch, options.patch);
    return pixels / options.patch;
  };
  return {.height = patches(height), .width = patches(width), .prefix = prefix()};
}

at::Tensor VitImpl::positions(const TokenGrid& here) const {
  TokenGrid from = grid(options.image_size, options.image_size);
  TokenGrid to = here;
  if (!options.embed_prefix) from.prefix = to.prefix = 0;
  return resample_position_table(pos_embed, from, to, options.resampling);
}

at::Tensor VitImpl::embed(const at::Tensor& x, const TokenGrid& here) {
  const int64_t batch = x.size(0);
  std::vector<at::Tensor> tokens;
  for (const at::Tensor& token : {cls_token, dist_token, reg_token}) {
    if (token.defined()) tokens.push_back(token.expand({batch, -1, -1}));
  }
  const auto patches = (hybrid_embed ? hybrid_embed->forward(x) : patch_embed->forward(x)).flatten(1, 2);  // [B,h·w,D]
  tokens.push_back(options.embed_prefix ? patches : patches + positions(here));
  auto joined = at::cat(tokens, 1);
  // It is ours and no backward formula reads it: the positions are added in place.
  if (options.embed_prefix) joined.add_(positions(here));
  joined = at::dropout(joined, options.pos_drop, is_training());
  return norm_pre ? norm_pre->forward(joined) : joined;
}

at::Tensor VitImpl::forward_features(const at::Tensor& x) {
  require(x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data, "Vit: expected [B,{},h,w], got {}",
          options.in_channels, shape_text(x));
  const TokenGrid here = grid(x.size(2), x.size(3));
  const TokenGridScope scope(here);
  auto tokens = embed(x, here);
  for (const auto& block : *blocks) tokens = run_block<PreNormBlockImpl>(block, tokens);
  return norm ? norm->forward(tokens) : tokens;
}

at::Tensor VitImpl::pool(const at::Tensor& features) {
  if (options.distilled) return (features.select(1, 0) + features.select(1, 1)) / 2;
  const auto patches = [&] { return features.slice(1, prefix()); };
  const auto pooled = [&]() -> at::Tensor {
    switch (options.pool) {
      case VitPool::class_token:
        return features.select(1, 0);
      case VitPool::average:
        return patches().mean(1);
      case VitPool::attention: {
        TokenGrid read = recording::current_grid();
        read.prefix = 0;
        const TokenGridScope scope(read);
        return attn_pool->forward(patches());
      }
      case VitPool::class_and_average:
        return at::cat({features.select(1, 0), patches().mean(1)}, 1);
    }
    fail(ErrorKind::internal, "Vit: no such pooling");
  }();
  return fc_norm ? fc_norm->forward(pooled) : pooled;
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
  if (options.at_places && head) return most_of_places(*this, features.slice(1, prefix()));
  if (!options.distilled || !head) return classify(pool(features));
  const auto [from_class, from_teacher] = logits_of_both(features);
  return (from_class + from_teacher) / 2;
}

std::pair<at::Tensor, at::Tensor> VitImpl::logits_of_both(const at::Tensor& features) {
  require(static_cast<bool>(head_dist), ErrorKind::usage, "Vit: logits_of_both needs a distilled model with classes");
  return {head->forward(head_input(features, 0)), head_dist->forward(head_input(features, 1))};
}

}  // namespace fovea
