#include "fovea/modules/patch/attention_pool.h"

#include <cmath>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/heads.h"
#include "fovea/modules/checks.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/patch/block.h"
#include "fovea/modules/shape.h"

namespace fovea {

AttentionPoolImpl::AttentionPoolImpl(const AttentionPoolOptions& options) : options(options) {
  require_heads("AttentionPool", options.dim, options.heads);
  require(options.mlp_ratio > 0, ErrorKind::usage, "AttentionPool: mlp_ratio {} must be positive", options.mlp_ratio);
  reset();
}

void AttentionPoolImpl::reset() {
  const int64_t dim = options.dim;
  const auto square = [&](int64_t out) {
    return Linear({.in_features = dim, .out_features = out, .initial_std = 0.02});
  };
  latent = register_parameter("latent", init_truncated_normal({1, 1, dim}, 1 / std::sqrt(static_cast<double>(dim))));
  q = register_module("q", square(dim));
  kv = register_module("kv", square(2 * dim));
  proj = register_module("proj", square(dim));
  norm = register_module("norm", LayerNorm({.features = dim, .eps = options.norm_eps}));
  const auto hidden = static_cast<int64_t>(static_cast<double>(dim) * options.mlp_ratio);
  mlp = register_module("mlp", Mlp({.features = dim, .hidden = hidden, .activation = options.activation}));
}

at::Tensor AttentionPoolImpl::forward(const at::Tensor& x) {
  require(x.dim() == 3 && x.size(2) == options.dim, ErrorKind::data, "AttentionPool: expected [B,N,{}], got {}",
          options.dim, shape_text(x));
  const int64_t batch = x.size(0);
  const auto query = split_heads(q->forward(latent.expand({batch, -1, -1})), 1, options.heads)[0];
  const auto parts = split_heads(kv->forward(x), 2, options.heads);
  const auto mixed = attention(query, parts[0], parts[1], {.module = this});  // [B,H,1,d]
  const auto pooled = proj->forward(join_heads(mixed).squeeze(1));
  return add_residual(pooled, mlp->forward(norm->forward(pooled)));
}

}  // namespace fovea
