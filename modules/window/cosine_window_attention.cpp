#include "fovea/modules/window/cosine_window_attention.h"

#include <cmath>

#include "fovea/modules/at_least_float.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

constexpr double kLongest = 100;     // the cosine's factor is at most this
constexpr double kShortest = 1e-12;  // a vector is divided by no less than this

at::Tensor unit_vectors(const at::Tensor& x) {
  const auto wide = detail::at_least_float(x);  // float16 has no number as short
  return (wide / wide.norm(2, -1, /*keepdim=*/true).clamp_min(kShortest)).to(x.scalar_type());
}

}  // namespace

CosineWindowAttentionImpl::CosineWindowAttentionImpl(const CosineWindowAttentionOptions& options) : options(options) {
  check_window_attention("CosineWindowAttention", options.layer);
  require(options.pretrained[0] >= 0 && options.pretrained[1] >= 0, ErrorKind::usage,
          "CosineWindowAttention: pretrained window {}x{} is negative", options.pretrained[0], options.pretrained[1]);
  reset();
}

void CosineWindowAttentionImpl::reset() {
  const auto& o = options.layer;
  logit_scale = register_parameter("logit_scale", init_full({o.heads, 1, 1}, std::log(10.0)));
  q_bias = v_bias = at::Tensor();
  if (o.qkv_bias) {
    q_bias = register_parameter("q_bias", init_zeros({o.dim}));
    v_bias = register_parameter("v_bias", init_zeros({o.dim}));
  }
  cpb_mlp = register_module("cpb_mlp",
                            LogRelativeBias({.heads = o.heads, .window = o.window, .pretrained = options.pretrained}));
  qkv = register_module("qkv",
                        Linear({.in_features = o.dim, .out_features = 3 * o.dim, .bias = false, .initial_std = 0.02}));
  proj = register_module("proj", Linear({.in_features = o.dim, .out_features = o.dim, .initial_std = 0.02}));
  windows_ = prepared_windows(o);
}

std::vector<at::Tensor*> CosineWindowAttentionImpl::tables() {
  return {&windows_.tokens, &windows_.padding, &windows_.places, &windows_.mask};
}

// […,3C] → the same with q as τ·q/|q| and k as k/|k|, each head apart.
at::Tensor CosineWindowAttentionImpl::scaled(const at::Tensor& qkv) const {
  const int64_t heads = options.layer.heads;
  const auto parts = qkv.unflatten(-1, {3, heads, options.layer.dim / heads}).unbind(-3);  // […,H,d]
  const auto factor = logit_scale.clamp_max(std::log(kLongest)).exp().view({heads, 1});
  return at::stack({unit_vectors(parts[0]) * factor, unit_vectors(parts[1]), parts[2]}, -3).flatten(-3);
}

at::Tensor CosineWindowAttentionImpl::forward(const at::Tensor& x) {
  const auto& o = options.layer;
  require(x.dim() == 4 && x.size(3) == o.dim, ErrorKind::data, "CosineWindowAttention: expected [B,h,w,{}], got {}",
          o.dim, shape_text(x));
  WindowArgs args = window_args(o);
  args.scale = 1.0;
  args.bias = cpb_mlp->window_bias();
  args.tables = &windows_;
  args.dropout = is_training() ? o.attn_drop : 0.0;
  args.module = this;
  auto inputs = qkv->forward(x);
  if (q_bias.defined()) {
    const auto row = at::cat({q_bias, at::zeros_like(v_bias), v_bias});
    inputs = inputs + row;
    args.pad_row = scaled(row);
  }
  const auto mixed = window_attention(scaled(inputs), args);
  return at::dropout(proj->forward(mixed), o.proj_drop, is_training());
}

}  // namespace fovea
