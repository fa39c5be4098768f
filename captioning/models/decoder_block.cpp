#include "fovea/captioning/models/decoder_block.h"

#include "fovea/modules/attention/heads.h"
#include "fovea/modules/checks.h"
#include "fovea/modules/patch/block.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

Linear linear(int64_t in, int64_t out) {
  return Linear({.in_features = in, .out_features = out, .initial_std = 0.02});
}

}  // namespace

TextAttentionImpl::TextAttentionImpl(const DecoderBlockOptions& options) : options(options) {
  reset();
}

void TextAttentionImpl::reset() {
  qkv = register_module("qkv", linear(options.dim, 3 * options.dim));
  proj = register_module("proj", linear(options.dim, options.dim));
}

at::Tensor TextAttentionImpl::forward(const at::Tensor& x, KeyValueCache& cache) {
  const auto parts = split_heads(qkv->forward(x), 3, options.heads);
  cache.append(parts[1], parts[2]);
  const AttentionArgs args = {
      .causal = x.size(1) > 1, .dropout = is_training() ? options.dropout : 0.0, .module = this};
  return proj->forward(join_heads(decode_attention(parts[0], cache, args)));
}

ImageAttentionImpl::ImageAttentionImpl(const DecoderBlockOptions& options) : options(options) {
  reset();
}

void ImageAttentionImpl::reset() {
  q = register_module("q", linear(options.dim, options.dim));
  kv = register_module("kv", linear(options.memory_dim, 2 * options.dim));
  proj = register_module("proj", linear(options.dim, options.dim));
}

void ImageAttentionImpl::look(const at::Tensor& memory, KeyValueCache& cache) {
  const auto parts = split_heads(kv->forward(memory), 2, options.heads);
  cache.append(parts[0], parts[1]);
}

at::Tensor ImageAttentionImpl::forward(const at::Tensor& x, const KeyValueCache& cache) {
  const auto queries = split_heads(q->forward(x), 1, options.heads)[0].contiguous();
  const AttentionArgs args = {.dropout = is_training() ? options.dropout : 0.0, .module = this};
  return proj->forward(join_heads(decode_attention(queries, cache, args)));
}

DecoderBlockImpl::DecoderBlockImpl(const DecoderBlockOptions& options) : options(options) {
  require_heads("DecoderBlock", options.dim, options.heads);
  require(options.hidden > 0 && options.memory_dim > 0, ErrorKind::usage,
          "DecoderBlock: hidden {} and memory_dim {} must be positive", options.hidden, options.memory_dim);
  require_probability("DecoderBlock", "dropout", options.dropout);
  reset();
}

void DecoderBlockImpl::reset() {
  const LayerNormOptions norm = {.features = options.dim, .eps = options.norm_eps};
  norm1 = register_module("norm1", LayerNorm(norm));
  self_attn = register_module("self_attn", std::make_shared<TextAttentionImpl>(options));
  norm_cross = register_module("norm_cross", LayerNorm(norm));
  cross_attn = register_module("cross_attn", std::make_shared<ImageAttentionImpl>(options));
  norm2 = register_module("norm2", LayerNorm(norm));
  mlp = register_module("mlp",
                        Mlp({.features = options.dim, .hidden = options.hidden, .activation = options.activation}));
}

at::Tensor DecoderBlockImpl::forward(const at::Tensor& x, DecoderBlockCache& cache) {
  const auto with = [&](const at::Tensor& stem, LayerNorm& norm, const auto& part) {
    const auto branch =
        at::dropout(part(options.norm_first ? norm->forward(stem) : stem), options.dropout, is_training());
    const auto sum = add_residual(stem, branch);
    return options.norm_first ? sum : norm->forward(sum);
  };
  auto result = with(x, norm1, [&](const at::Tensor& t) { return self_attn->forward(t, cache.text); });
  result = with(result, norm_cross, [&](const at::Tensor& t) { return cross_attn->forward(t, cache.image); });
  return with(result, norm2, [&](const at::Tensor& t) { return mlp->forward(t); });
}

}  // namespace fovea
