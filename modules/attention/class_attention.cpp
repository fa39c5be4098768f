#include "fovea/modules/attention/class_attention.h"

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/heads.h"
#include "fovea/modules/checks.h"
#include "fovea/modules/shape.h"

namespace fovea {

ClassAttentionImpl::ClassAttentionImpl(const ClassAttentionOptions& options) : options(options) {
  require_heads("ClassAttention", options.dim, options.heads);
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
  const auto heads = [&](const at::Tensor& t) { return split_heads(t, 1, options.heads)[0]; };  // [B,H,N,d]
  const auto mixed = attention(heads(q->forward(x.narrow(1, 0, 1))), heads(k->forward(x)), heads(v->forward(x)),
                               {.dropout = is_training() ? options.attn_drop : 0.0, .module = this});  // [B,H,1,d]
  return at::dropout(proj->forward(join_heads(mixed)), options.proj_drop, is_training());
}

}  // namespace fovea
