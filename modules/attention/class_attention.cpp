#include "fovea/modules/attention/class_attention.h"

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/error.h"
#include "fovea/modules/patch/drop_path.h"
#include "fovea/modules/shape.h"

namespace fovea {

ClassAttentionImpl::ClassAttentionImpl(const ClassAttentionOptions& options) : options(options) {
  require(options.dim > 0 && options.heads > 0, ErrorKind::usage,
          "ClassAttention: dim {} and heads {} must be positive", options.dim, options.heads);
  require(options.dim % options.heads == 0, ErrorKind::usage, "ClassAttention: dim {} is not divisible by heads {}",
          options.dim, options.heads);
  require_probability("ClassAttention", "attn_drop", options.attn_drop);
  require_probability("ClassAttention", "proj_drop", options.proj_drop);
  reset();
}

void ClassAttentionImpl::reset() {
  const auto linear = [&](const char* name, bool bias) {
    return register_module(
        name, Linear({.in_features = options.dim, .out_features = options.dim, .bias = bias, .initial_std = 0.02}));
  };
  q = linear("q", options.qkv_bias);
  k = linear("k", options.qkv_bias);
  v = linear("v", options.qkv_bias);
  proj = linear("proj", true);
}

at::Tensor ClassAttentionImpl::forward(const at::Tensor& x) {
  require(x.dim() == 3 && x.size(1) > 0 && x.size(2) == options.dim, ErrorKind::data,
          "ClassAttention: expected [B,N,{}], got {}", options.dim, shape_text(x));
  const auto heads = [&](const at::Tensor& t) {
    return t.view({t.size(0), t.size(1), options.heads, options.dim / options.heads}).transpose(1, 2);  // [B,H,N,d]
  };
  const auto mixed = attention(heads(q->forward(x.narrow(1, 0, 1))), heads(k->forward(x)), heads(v->forward(x)),
                               {.dropout = is_training() ? options.attn_drop : 0.0, .module = this});  // [B,H,1,d]
  const auto joined = mixed.transpose(1, 2).reshape({x.size(0), 1, options.dim});
  return at::dropout(proj->forward(joined), options.proj_drop, is_training());
}

}  // namespace fovea
