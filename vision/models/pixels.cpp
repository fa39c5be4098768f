#include "fovea/vision/models/pixels.h"

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/heads.h"
#include "fovea/modules/checks.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/patch/block.h"
#include "fovea/modules/recompute.h"
#include "fovea/modules/shape.h"
#include "fovea/modules/sparse/linear_attention.h"

namespace fovea {
namespace {

constexpr int64_t kBlockOfWindow = 32;  // tokens: a row of the pictures it is made for

}  // namespace

PixelMixerImpl::PixelMixerImpl(const PixelMixerOptions& options) : options(options) {
  reset();
}

void PixelMixerImpl::reset() {
  const int64_t dim = options.dim, tokens = options.height * options.width;
  qkv = proj = nullptr;
  projection = nullptr;
  s4 = nullptr;
  mamba = nullptr;
  window_.reset();
  if (options.kind == PixelMixer::s4) {
    s4 = register_module("s4", S4({.width = dim, .state = options.state}));
    return;
  }
  if (options.kind == PixelMixer::mamba) {
    mamba = register_module("mamba", Mamba({.width = dim, .state = options.state}));
    return;
  }
  require_heads("PixelMixer", dim, options.heads);
  qkv = register_module("qkv", Linear({.in_features = dim, .out_features = 3 * dim, .initial_std = 0.02}));
  proj = register_module("proj", Linear({.in_features = dim, .out_features = dim, .initial_std = 0.02}));
  if (options.kind == PixelMixer::linformer) {
    projection = register_module("projection", Linformer({.tokens = tokens, .projected = options.projected}));
  }
  if (options.kind == PixelMixer::window) {
    window_.emplace(grid_pattern(options.height, options.width, options.reach), kBlockOfWindow);
  }
}

std::vector<at::Tensor*> PixelMixerImpl::tables() {
  return window_ ? window_->tables() : std::vector<at::Tensor*>();
}

at::Tensor PixelMixerImpl::attended(const at::Tensor& x) {
  const auto parts = split_heads(qkv->forward(x), 3, options.heads);
  const auto &q = parts[0], &k = parts[1], &v = parts[2];
  switch (options.kind) {
    case PixelMixer::window:
      return sparse_attention(q, k, v, *window_, {.module = this});
    case PixelMixer::linear:
      return linear_attention(q, k, v, {.module = this});
    case PixelMixer::linformer:
      return projection->forward(q, k, v);
    default:
      return attention(q, k, v, {.module = this});
  }
}

at::Tensor PixelMixerImpl::forward(const at::Tensor& x) {
  if (s4) return s4->forward(x);
  if (mamba) return mamba->forward(x);
  return proj->forward(join_heads(attended(x)));
}

void PixelBlockImpl::reset() {
  const int64_t dim = options.mixer.dim;
  norm1 = register_module("norm1", LayerNorm(LayerNormOptions{.features = dim}));
  mixer = register_module("mixer", std::make_shared<PixelMixerImpl>(options.mixer));
  norm2 = register_module("norm2", LayerNorm(LayerNormOptions{.features = dim}));
  mlp = register_module("mlp", Mlp({.features = dim, .hidden = options.mlp_ratio * dim}));
}

at::Tensor PixelBlockImpl::forward(const at::Tensor& x) {
  const auto mixed = add_residual(x, mixer->forward(norm1->forward(x)));
  return add_residual(mixed, mlp->forward(norm2->forward(mixed)));
}

PixelClassifierImpl::PixelClassifierImpl(const PixelClassifierOptions& options) : options(options) {
  const PixelMixerOptions& mixer = options.mixer;
  require(mixer.height > 0 && mixer.width > 0 && mixer.dim > 0 && options.depth > 0 && options.mlp_ratio > 0 &&
              options.in_channels > 0 && options.num_classes >= 0,
          ErrorKind::usage,
          "PixelClassifier: height {}, width {}, dim {}, depth {}, mlp_ratio {} and in_channels {} must be positive, "
          "num_classes {} not negative",
          mixer.height, mixer.width, mixer.dim, options.depth, options.mlp_ratio, options.in_channels,
          options.num_classes);
  reset();
}

void PixelClassifierImpl::reset() {
  const int64_t dim = options.mixer.dim;
  embed = register_module("embed", Linear({.in_features = options.in_channels, .out_features = dim}));
  pos_embed = register_parameter("pos_embed",
                                 init_truncated_normal({1, options.mixer.height * options.mixer.width, dim}, 0.02));
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < options.depth; ++i) blocks->push_back(std::make_shared<PixelBlockImpl>(options));
  norm = register_module("norm", LayerNorm(LayerNormOptions{.features = dim}));
  head = nullptr;
  if (options.num_classes == 0) return;
  head =
      register_module("head", Linear({.in_features = dim, .out_features = options.num_classes, .initial_std = 0.02}));
}

TokenGrid PixelClassifierImpl::grid(int64_t height, int64_t width) const {
  require(height == options.mixer.height && width == options.mixer.width, ErrorKind::data,
          "PixelClassifier: made for {}x{} pixels (height x width), got {}x{}", options.mixer.height,
          options.mixer.width, height, width);
  return {.height = height, .width = width};
}

at::Tensor PixelClassifierImpl::forward_features(const at::Tensor& x) {
  require(x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data,
          "PixelClassifier: expected [B,{},h,w], got {}", options.in_channels, shape_text(x));
  const TokenGridScope scope(grid(x.size(2), x.size(3)));
  auto y = embed->forward(x.flatten(2).transpose(1, 2)) + pos_embed;  // [B,C,h,w] → [B,h·w,D]
  for (const auto& block : *blocks) y = run_block<PixelBlockImpl>(block, y);
  return norm->forward(y);
}

at::Tensor PixelClassifierImpl::pool(const at::Tensor& features) {
  return features.mean(1);
}

at::Tensor PixelClassifierImpl::classify(const at::Tensor& pooled) {
  return head ? head->forward(pooled) : pooled;
}

}  // namespace fovea
