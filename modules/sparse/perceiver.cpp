#include "fovea/modules/sparse/perceiver.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"

namespace fovea {

PerceiverReadImpl::PerceiverReadImpl(const PerceiverReadOptions& options) : options(options) {
  require(options.width > 0 && options.input_width > 0 && options.mlp_ratio > 0, ErrorKind::usage,
          "PerceiverRead: width {}, input_width {} and mlp_ratio {} must be positive", options.width,
          options.input_width, options.mlp_ratio);
  reset();
}

void PerceiverReadImpl::reset() {
  const auto norm = [&](const char* name, int64_t features) {
    return register_module(name, LayerNorm({.features = features, .eps = 1e-5}));
  };
  norm_q = norm("norm_q", options.width);
  norm_x = norm("norm_x", options.input_width);
  attn = register_module(
      "attn", MultiHeadAttention({.d_model = options.width, .heads = options.heads, .key_width = options.input_width}));
  norm_mlp = norm("norm_mlp", options.width);
  mlp = register_module("mlp", Mlp({.features = options.width, .hidden = options.mlp_ratio * options.width}));
}

at::Tensor PerceiverReadImpl::forward(const at::Tensor& queries, const at::Tensor& x, const at::Tensor& mask) {
  require(queries.dim() == 3 && x.dim() == 3 && queries.size(2) == options.width && x.size(2) == options.input_width &&
              queries.size(0) == x.size(0),
          ErrorKind::data, "PerceiverRead: expected queries [B,L,{}] and x [B,M,{}], got {}, {}", options.width,
          options.input_width, shape_text(queries), shape_text(x));
  AttentionArgs args;
  if (mask.defined()) args.mask = mask.unsqueeze(1).unsqueeze(1);
  const auto read = norm_x->forward(x);
  const auto y = queries + attn->forward(norm_q->forward(queries), read, read, args);
  return y + mlp->forward(norm_mlp->forward(y));
}

PerceiverEncoderImpl::PerceiverEncoderImpl(const PerceiverEncoderOptions& options) : options(options) {
  require(options.latents > 0, ErrorKind::usage, "PerceiverEncoder: latents {} must be positive", options.latents);
  reset();
}

void PerceiverEncoderImpl::reset() {
  latents = register_parameter("latents", init_truncated_normal({options.latents, options.read.width}, 0.02));
  read = register_module("read", PerceiverRead(options.read));
}

at::Tensor PerceiverEncoderImpl::forward(const at::Tensor& x, const at::Tensor& mask) {
  require(x.dim() == 3, ErrorKind::data, "PerceiverEncoder: expected x [B,M,C], got {}", shape_text(x));
  return read->forward(latents.unsqueeze(0).expand({x.size(0), -1, -1}), x, mask);
}

}  // namespace fovea
