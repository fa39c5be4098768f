#include "fovea/modules/spatial/lambda_layer.h"

#include <cmath>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/channel/gate.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

LambdaLayerImpl::LambdaLayerImpl(const LambdaLayerOptions& given) : options(given) {
  const auto& o = options;
  if (o.out_channels == 0) options.out_channels = o.channels;
  require(o.channels > 0 && o.out_channels > 0 && o.heads > 0 && o.head_width > 0, ErrorKind::usage,
          "LambdaLayer: channels {}, out_channels {}, heads {} and head_width {} must be positive", o.channels,
          o.out_channels, o.heads, o.head_width);
  require(o.out_channels % o.heads == 0, ErrorKind::usage, "LambdaLayer: out_channels {} is not divisible by heads {}",
          o.out_channels, o.heads);
  require(o.reach > 0 && o.reach % 2 == 1 && (o.stride == 1 || o.stride == 2), ErrorKind::usage,
          "LambdaLayer: reach {} must be odd, stride {} 1 or 2", o.reach, o.stride);
  reset();
}

void LambdaLayerImpl::PlacesImpl::reset() {
  weight = register_parameter(
      "weight", init_truncated_normal({width, 1, reach, reach, 1}, 1 / std::sqrt(static_cast<double>(width))));
  bias = register_parameter("bias", init_fan_in_uniform({width}, reach * reach));
}

at::Tensor LambdaLayerImpl::PlacesImpl::forward(const at::Tensor& v) {
  const int64_t B = v.size(0), V = v.size(1), h = v.size(2), w = v.size(3);
  // Each value column is a picture of its own.
  const auto lambdas = at::conv2d(v.reshape({B * V, 1, h, w}), weight.squeeze(-1), bias, /*stride=*/1, reach / 2);
  return lambdas.view({B, V, width, h * w}).permute({0, 3, 2, 1});  // [B·V,K,h,w] → [B,N,K,V]
}

void LambdaLayerImpl::reset() {
  const int64_t K = options.head_width, V = value_width();
  qkv = register_module(
      "qkv",
      Conv2d({.in_channels = options.channels, .out_channels = options.heads * K + K + V, .bias = options.qkv_bias}));
  qkv->weight.set_data(
      init_truncated_normal(qkv->weight.sizes(), 1 / std::sqrt(static_cast<double>(options.channels))));
  norm_q = register_module("norm_q", BatchNorm2d({.channels = options.heads * K}));
  norm_v = register_module("norm_v", BatchNorm2d({.channels = V}));
  conv_lambda = register_module("conv_lambda", std::make_shared<PlacesImpl>(K, options.reach));
}

at::Tensor LambdaLayerImpl::forward(const at::Tensor& x) {
  detail::check_input("LambdaLayer", x, options.channels, qkv->weight);
  const int64_t B = x.size(0), h = x.size(2), w = x.size(3), H = options.heads, K = options.head_width;
  const auto parts = qkv->forward(x).split_with_sizes({H * K, K, value_width()}, 1);
  const auto q = norm_q->forward(parts[0]).reshape({B, H, K, h * w}).permute({0, 3, 1, 2});  // [B,N,H,K]
  const auto weights = at::softmax(parts[1].flatten(2), -1);                                 // [B,K,N]
  const auto v = norm_v->forward(parts[2]);
  if (recording::wanted(this)) {
    const TokenGridScope scope({.height = h, .width = w});
    recording::add(this, MapKind::tokens, weights.unsqueeze(2));
  }
  const auto content = at::matmul(weights, v.flatten(2).transpose(1, 2)).unsqueeze(1);  // [B,1,K,V]
  const auto mixed = at::matmul(q, content + conv_lambda->forward(v));                  // [B,N,H,V]
  const auto y = mixed.permute({0, 2, 3, 1}).reshape({B, options.out_channels, h, w});
  return options.stride == 2 ? at::avg_pool2d(y, 2, 2) : y;
}

}  // namespace fovea
