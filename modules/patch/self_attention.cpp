#include "fovea/modules/patch/self_attention.h"

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/heads.h"
#include "fovea/modules/checks.h"
#include "fovea/modules/shape.h"

namespace fovea {

SelfAttentionImpl::SelfAttentionImpl(const SelfAttentionOptions& options) : options(options) {
  require_heads("SelfAttention", options.dim, options.heads);
  require_probability("SelfAttention", "attn_drop", options.attn_drop);
  require_probability("SelfAttention", "proj_drop", options.proj_drop);
  reset();
}

void SelfAttentionImpl::reset() {
  qkv = register_module("qkv", Linear({.in_features = options.dim,
                                       .out_features = 3 * options.dim,
                                       .bias = options.qkv_bias,
                                       .initial_std = 0.02}));
  proj =
      register_module("proj", Linear({.in_features = options.dim, .out_features = options.dim, .initial_std = 0.02}));
}

at::Tensor SelfAttentionImpl::forward(const at::Tensor& x) {
  require(x.dim() == 3 && x.size(2) == options.dim, ErrorKind::data, "SelfAttention: expected [B,N,{}], got {}",
          options.dim, shape_text(x));
  const auto parts = split_heads(qkv->forward(x), 3, options.heads);
  const auto mixed =
      attention(parts[0], parts[1], parts[2], {.dropout = is_training() ? options.attn_drop : 0.0, .module = this});
  return at::dropout(proj->forward(join_heads(mixed)), options.proj_drop, is_training());
}

}  // namespace fovea
