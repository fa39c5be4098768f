#include "fovea/modules/patch/block.h"

#include <c10/core/GradMode.h>

#include "fovea/modules/error.h"

namespace fovea {

at::Tensor add_residual(const at::Tensor& stem, at::Tensor branch) {
  // Differentiated, an in-place sum over a view costs a copy in backward; of another type, it would round the stem.
  const bool in_place = !at::GradMode::is_enabled() && branch.scalar_type() == stem.scalar_type();
  return in_place ? branch.add_(stem) : stem + branch;
}

PreNormBlockImpl::PreNormBlockImpl(const PreNormBlockOptions& options) : options(options) {
  require(options.mlp_ratio > 0, ErrorKind::usage, "PreNormBlock: mlp_ratio {} must be positive", options.mlp_ratio);
  reset();
}

void PreNormBlockImpl::reset() {
  norm1 = register_module("norm1", LayerNorm({.features = options.dim, .eps = options.norm_eps}));
  attn = register_module("attn", SelfAttention({.dim = options.dim,
                                                .heads = options.heads,
                                                .qkv_bias = options.qkv_bias,
                                                .attn_drop = options.attn_drop,
                                                .proj_drop = options.proj_drop}));
  norm2 = register_module("norm2", LayerNorm({.features = options.dim, .eps = options.norm_eps}));
  const auto hidden = static_cast<int64_t>(static_cast<double>(options.dim) * options.mlp_ratio);
  mlp = nullptr;
  swiglu = nullptr;
  if (options.swiglu) {
    swiglu =
        register_module("mlp", SwiGlu({.features = options.dim, .hidden = hidden / 2, .dropout = options.proj_drop}));
  } else {
    mlp = register_module("mlp", Mlp({.features = options.dim,
                                      .hidden = hidden,
                                      .activation = options.activation,
                                      .dropout = options.proj_drop}));
  }
  ls1 = ls2 = nullptr;
  if (options.layer_scale != 0) {
    const LayerScaleOptions scale = {.dim = options.dim, .initial = options.layer_scale};
    ls1 = register_module("ls1", LayerScale(scale));
    ls2 = register_module("ls2", LayerScale(scale));
  }
  drop_path = register_module("drop_path", DropPath(DropPathOptions{.probability = options.drop_path}));
}

at::Tensor PreNormBlockImpl::forward(const at::Tensor& x) {
  const auto joined = [&](const at::Tensor& stem, const at::Tensor& branch, LayerScale& scale) {
    return add_residual(stem, drop_path->forward(scale ? scale->forward(branch) : branch));
  };
  const auto attended = joined(x, attn->forward(norm1->forward(x)), ls1);
  const auto inner = norm2->forward(attended);
  return joined(attended, swiglu ? swiglu->forward(inner) : mlp->forward(inner), ls2);
}

}  // namespace fovea
