#include "fovea/modules/patch/self_attention.h"

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/error.h"
#include "fovea/modules/patch/drop_path.h"
#include "fovea/modules/shape.h"

namespace fovea {

SelfAttentionImpl::SelfAttentionImpl(const SelfAttentionOptions& options) : options(options) {
  require(options.dim > 0 && options.heads > 0, ErrorKind::usage, "SelfAttention: dim {} and heads {} must be positive",
          options.dim, options.heads);
  require(options.dim % options.heads == 0, ErrorKind::usage, "SelfAttention: dim {} is not divisible by heads {}",
          options.dim, options.heads);
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
  const int64_t head_width = options.dim / options.heads;
  // [B,N,3D] → views [B,H,N,d] of the one buffer.
  const auto parts =
      qkv->forward(x).view({x.size(0), x.size(1), 3, options.heads, head_width}).permute({2, 0, 3, 1, 4});
  const auto mixed =
      attention(parts[0], parts[1], parts[2], {.dropout = is_training() ? options.attn_drop : 0.0, .module = this});
  const auto joined = mixed.transpose(1, 2).reshape(x.sizes());  // [B,H,N,d] → [B,N,D]
  return at::dropout(proj->forward(joined), options.proj_drop, is_training());
}

}  // namespace fovea
