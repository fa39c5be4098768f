#include "fovea/modules/window/swin_block.h"

#include "fovea/modules/error.h"
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
  attn = register_module("attn", WindowAttention(options.attention));
  norm2 = register_module("norm2", LayerNorm(norm));
  const auto hidden = static_cast<int64_t>(static_cast<double>(dim) * options.mlp_ratio);
  mlp = register_module("mlp", Mlp({.features = dim, .hidden = hidden, .dropout = options.attention.proj_drop}));
  drop_path = register_module("drop_path", DropPath(DropPathOptions{.probability = options.drop_path}));
}

at::Tensor SwinBlockImpl::forward(const at::Tensor& x) {
  const auto attended = add_residual(x, drop_path->forward(attn->forward(norm1->forward(x))));
  return add_residual(attended, drop_path->forward(mlp->forward(norm2->forward(attended))));
}

}  // namespace fovea
