#include "fovea/vision/models/swin.h"

#include <algorithm>
#include <numeric>

#include "fovea/modules/checks.h"
#include "fovea/modules/recompute.h"
#include "fovea/vision/models/conv_step.h"

namespace fovea {

SwinStageImpl::SwinStageImpl(const SwinStageOptions& options) : options(options) {
  reset();
}

void SwinStageImpl::reset() {
  downsample = nullptr;
  if (options.merge) {
    downsample = register_module(
        "downsample", PatchMerging({.dim = options.dim / 2, .out_dim = options.dim, .post_norm = options.v2}));
  }
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (const auto& block : options.blocks) blocks->push_back(SwinBlock(block));
}

at::Tensor SwinStageImpl::forward(const at::Tensor& x) {
  auto tokens = downsample ? downsample->forward(x) : x;
  const TokenGridScope scope({.height = tokens.size(1), .width = tokens.size(2)});
  for (const auto& block : *blocks) tokens = run_block<SwinBlockImpl>(block, tokens);
  return tokens;
}

SwinHeadImpl::SwinHeadImpl(const SwinHeadOptions& options) : options(options) {
  require_probability("SwinHead", "dropout", options.dropout);
  reset();
}

void SwinHeadImpl::reset() {
  fc = nullptr;
  if (options.num_classes == 0) return;
  fc = register_module(
      "fc", Linear({.in_features = options.features, .out_features = options.num_classes, .initial_std = 0.02}));
}

at::Tensor SwinHeadImpl::forward(const at::Tensor& pooled) {
  if (!fc) return pooled;
  return fc->forward(at::dropout(pooled, options.dropout, is_training()));
}

SwinImpl::SwinImpl(const SwinOptions& options) : options(options) {
  require(options.image_size > 0 && options.patch > 0 && options.window > 0 && options.dim > 0, ErrorKind::usage,
          "Swin: image_size {}, patch {}, window {} and dim {} must be positive", options.image_size, options.patch,
          options.window, options.dim);
  require(!options.depths.empty() && options.depths.size() == options.heads.size(), ErrorKind::usage,
          "Swin: depths of {} stages, heads of {}", options.depths.size(), options.heads.size());
  require(*std::min_element(options.depths.begin(), options.depths.end()) > 0, ErrorKind::usage,
          "Swin: depths [{}] must be positive", fmt::join(options.depths, ","));
  require(options.num_classes >= 0, ErrorKind::usage, "Swin: num_classes {} is negative", options.num_classes);
  const auto& trained = options.pretrained_windows;
  require(trained.empty() || (options.v2 && trained.size() == options.depths.size()), ErrorKind::usage,
          "Swin: pretrained_windows [{}] of {} stages of {}", fmt::join(trained, ","), options.depths.size(),
          options.v2 ? "SwinV2" : "Swin, which has none");
  reset();
}

SwinStageOptions SwinImpl::stage_options(size_t stage, int64_t side) const {
  const bool timm = options.padding == SwinPadding::timm;
  const int64_t dim = options.dim << stage;
  const int64_t window = timm ? std::min(options.window, side) : options.window;
  const int64_t shift = timm && side <= window ? 0 : window / 2;
  const auto& trained = options.pretrained_windows;
  const int64_t before = std::accumulate(options.depths.begin(), options.depths.begin() + stage, int64_t{0});
  const int64_t total = std::accumulate(options.depths.begin(), options.depths.end(), int64_t{0});
  SwinStageOptions made{.dim = dim, .merge = stage > 0, .v2 = options.v2};
  for (int64_t i = 0; i < options.depths[stage]; ++i) {
    const int64_t own_shift = i % 2 == 0 ? 0 : shift;
    made.blocks.push_back({.attention = {.dim = dim,
                                         .heads = options.heads[stage],
                                         .window = {window, window},
                                         .shift = {own_shift, own_shift},
                                         .grid = {side, side},
                                         .pad_first = !timm,
                                         .qkv_bias = options.qkv_bias,
                                         .attn_drop = options.attn_drop,
                                         .proj_drop = options.proj_drop},
                           .mlp_ratio = options.mlp_ratio,
                           .drop_path = drop_path_rate(options.drop_path, before + i, total),
                           .v2 = options.v2,
                           .pretrained_window = trained.empty() ? 0 : trained[stage]});
  }
  return made;
}

void SwinImpl::reset() {
  patch_embed = register_module("patch_embed", PatchEmbed({.in_channels = options.in_channels,
                                                           .dim = options.dim,
                                                           .patch = options.patch,
                                                           .norm = true,
                                                           .pad = options.padding == SwinPadding::timm}));
  layers = register_module("layers", torch::nn::ModuleList());
  int64_t side = first_grid(options.image_size, options.image_size).height;
  for (size_t stage = 0; stage < options.depths.size(); ++stage) {
    if (stage > 0) side = halved(side);
    layers->push_back(SwinStage(stage_options(stage, side)));
  }
  const int64_t features = options.dim << (options.depths.size() - 1);
  norm = register_module("norm", LayerNorm({.features = features, .eps = 1e-5}));
  head = register_module(
      "head", SwinHead({.features = features, .num_classes = options.num_classes, .dropout = options.head_drop}));
}

TokenGrid SwinImpl::first_grid(int64_t height, int64_t width) const {
  const bool timm = options.padding == SwinPadding::timm;
  const int64_t least = timm ? 1 : options.patch;
  require(height >= least && width >= least, ErrorKind::data,
          "Swin: an image of {}x{} pixels (height x width) is smaller than {}x{}", height, width, least, least);
  const int64_t more = timm ? options.patch - 1 : 0;
  return {.height = (height + more) / options.patch, .width = (width + more) / options.patch};
}

TokenGrid SwinImpl::grid(int64_t height, int64_t width) const {
  auto grid = first_grid(height, width);
  for (size_t stage = 1; stage < options.depths.size(); ++stage) {
    grid = {.height = halved(grid.height), .width = halved(grid.width)};
  }
  return grid;
}

at::Tensor SwinImpl::forward_features(const at::Tensor& x) {
  require(x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data, "Swin: expected [B,{},h,w], got [{}]",
          options.in_channels, fmt::join(x.sizes(), ","));
  const TokenGrid first = first_grid(x.size(2), x.size(3));
  const bool cut = options.padding == SwinPadding::torchvision;
  auto tokens = patch_embed->forward(
      cut ? x.narrow(2, 0, first.height * options.patch).narrow(3, 0, first.width * options.patch) : x);
  for (const auto& stage : *layers) tokens = stage->as<SwinStageImpl>()->forward(tokens);
  return norm->forward(tokens).permute({0, 3, 1, 2});  // [B,h,w,D] → [B,D,h,w]
}

at::Tensor SwinImpl::pool(const at::Tensor& features) {
  return features.mean({2, 3});
}

at::Tensor SwinImpl::classify(const at::Tensor& pooled) {
  return head->forward(pooled);
}

}  // namespace fovea
