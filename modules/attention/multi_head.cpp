#include "fovea/modules/attention/multi_head.h"

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// [B,N,H·d] → [B,H,N,d], a view.
at::Tensor split_heads(const at::Tensor& x, int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

void require_width(const char* name, const at::Tensor& x, int64_t width) {
  require(x.dim() == 3 && x.size(2) == width, ErrorKind::data, "multi_head_attention: expected {} [B,N,{}], got {}",
          name, width, shape_text(x));
}

}  // namespace

MultiHeadAttentionImpl::MultiHeadAttentionImpl(const MultiHeadAttentionOptions& given) : options(given) {
  require(options.heads > 0, ErrorKind::usage, "multi_head_attention: heads {} must be positive", options.heads);
  require(options.d_model > 0 && options.d_model % options.heads == 0, ErrorKind::usage,
          "multi_head_attention: d_model {} is not divisible by heads {}", options.d_model, options.heads);
  if (options.kv_heads == 0) options.kv_heads = options.heads;
  if (options.key_width == 0) options.key_width = options.d_model;
  if (options.value_width == 0) options.value_width = options.key_width;
  require(options.kv_heads > 0 && options.heads % options.kv_heads == 0, ErrorKind::usage,
          "multi_head_attention: heads {} is not divisible by kv_heads {}", options.heads, options.kv_heads);
  require(options.dropout >= 0 && options.dropout < 1, ErrorKind::usage,
          "multi_head_attention: dropout {} does not lie in [0,1)", options.dropout);
  reset();
}

void MultiHeadAttentionImpl::reset() {
  const auto& o = options;
  const int64_t kv = o.d_model / o.heads * o.kv_heads;
  q = register_module("q", Linear({.in_features = o.d_model, .out_features = o.d_model, .bias = o.bias}));
  k = register_module("k", Linear({.in_features = o.key_width, .out_features = kv, .bias = o.bias}));
  v = register_module("v", Linear({.in_features = o.value_width, .out_features = kv, .bias = o.bias}));
  proj = register_module("proj", Linear({.in_features = o.d_model, .out_features = o.d_model, .bias = o.bias}));
}

at::Tensor MultiHeadAttentionImpl::forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                           AttentionArgs args) {
  require_width("query", query, options.d_model);
  require_width("key", key, options.key_width);
  require_width("value", value, options.value_width);
  args.module = this;
  args.dropout = is_training() ? options.dropout : 0;
  const auto heads =
      attention(split_heads(q->forward(query), options.heads), split_heads(k->forward(key), options.kv_heads),
                split_heads(v->forward(value), options.kv_heads), args);  // [B,H,N,d]
  return proj->forward(heads.transpose(1, 2).reshape({query.size(0), query.size(1), options.d_model}));
}

}  // namespace fovea
