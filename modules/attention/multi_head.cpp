#include "fovea/modules/attention/multi_head.h"

#include "fovea/modules/attention/heads.h"
#include "fovea/modules/checks.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

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
  require_probability("multi_head_attention", "dropout", options.dropout);
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
  const auto queries = split_heads(q->forward(query), 1, options.heads)[0];
  const auto keys = split_heads(k->forward(key), 1, options.kv_heads)[0];
  const auto values = split_heads(v->forward(value), 1, options.kv_heads)[0];
  return proj->forward(join_heads(attention(queries, keys, values, args)));
}

}  // namespace fovea
