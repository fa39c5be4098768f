#include "fovea/modules/window/swin_block.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/patch/block.h"

namespace fovea {

SwinBlockImpl::SwinBlockImpl(const SwinBlockOptions& options) : options(options) {
  require(options.mlp_ratio > 0, ErrorKind::usage, "SwinBlock: mlp_ratio {} must be positive", options.mlp_ratio);
  reset();
}

void SwinBlockImpl::reset() {
  const int64_t dim = options.attention.dim;
  const LayerNormOptions norm = {.features = dim, .eps = 1e-5};
  norm1 = register_module("norm1", LayerNorm(norm));
  attn = nullptr;
  cosine_attn = nullptr;
  if (options.v2) {
    const int64_t pretrained = options.pretrained_window;
    cosine_attn = register_module(
        "attn", CosineWindowAttention({.layer = options.attention, .pretrained = {pretrained, pretrained}}));
  } else {
    attn = register_module("attn", WindowAttention(options.attention));
  }
  norm2 = register_module("norm2", LayerNorm(norm));
  const auto hidden = static_cast<int64_t>(static_cast<double>(dim) * options.mlp_ratio);
  mlp = register_module("mlp", Mlp({.features = dim, .hidden = hidden, .dropout = options.attention.proj_drop}));
  drop_path = register_module("drop_path", DropPath(DropPathOptions{.probability = options.drop_path}));
  if (options.v2 && !SkipInit::active()) {
    const at::NoGradGuard no_grad;
    norm1->weight.zero_();
    norm2->weight.zero_();
  }
}

at::Tensor SwinBlockImpl::forward(const at::Tensor& x) {
  if (options.v2) {
    const auto attended = add_residual(x, drop_path->forward(norm1->forward(cosine_attn->forward(x))));
    return add_residual(attended, drop_path->forward(norm2->forward(mlp->forward(attended))));
  }
  const auto attended = add_residual(x, drop_path->forward(attn->forward(norm1->forward(x))));
  return add_residual(attended, drop_path->forward(mlp->forward(norm2->forward(attended))));
}

}  // namespace fovea
