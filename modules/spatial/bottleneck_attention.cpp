#include "fovea/modules/spatial/bottleneck_attention.h"

#include <cmath>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/channel/gate.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

BottleneckAttentionImpl::PositionsImpl::PositionsImpl(int64_t height, int64_t width, int64_t head_width)
    : height(height), width(width), head_width(head_width) {
  reset();
}

void BottleneckAttentionImpl::PositionsImpl::reset() {
  const double std = 1 / std::sqrt(static_cast<double>(head_width));
  height_rel = register_parameter("height_rel", init_truncated_normal({2 * height - 1, head_width}, std));
  width_rel = register_parameter("width_rel", init_truncated_normal({2 * width - 1, head_width}, std));
}

BottleneckAttentionImpl::BottleneckAttentionImpl(const BottleneckAttentionOptions& given) : options(given) {
  if (options.out_channels == 0) options.out_channels = options.channels;
  require(options.channels > 0 && options.out_channels > 0 && options.heads > 0 && options.height > 0 &&
              options.width > 0 && options.head_width >= 0,
          ErrorKind::usage,
          "BottleneckAttention: channels {}, out_channels {}, heads {}, height {} and width {} must be positive",
          options.channels, options.out_channels, options.heads, options.height, options.width);
  require(options.out_channels % options.heads == 0, ErrorKind::usage,
          "BottleneckAttention: out_channels {} is not divisible by heads {}", options.out_channels, options.heads);
  require(options.stride == 1 || options.stride == 2, ErrorKind::usage, "BottleneckAttention: stride {} must be 1 or 2",
          options.stride);
  if (options.head_width == 0) {
    options.head_width = rounded_width(static_cast<double>(options.out_channels), 8, 8) / options.heads;
  }
  reset();
}

void BottleneckAttentionImpl::reset() {
  qkv = register_module("qkv", Conv2d({.in_channels = options.channels,
                                       .out_channels = 2 * options.heads * options.head_width + options.out_channels,
                                       .bias = options.qkv_bias}));
  qkv->weight.set_data(
      init_truncated_normal(qkv->weight.sizes(), 1 / std::sqrt(static_cast<double>(options.channels))));
  pos_embed =
      register_module("pos_embed", std::make_shared<PositionsImpl>(options.height, options.width, options.head_width));
}

at::Tensor BottleneckAttentionImpl::forward(const at::Tensor& x) {
  detail::check_input("BottleneckAttention", x, options.channels, qkv->weight);
  const int64_t B = x.size(0), h = x.size(2), w = x.size(3), heads = options.heads;
  const int64_t keys = heads * options.head_width;
  const auto parts = qkv->forward(x).split_with_sizes({keys, keys, options.out_channels}, 1);
  const auto tokens = [&](const at::Tensor& t) {  // [B,H·d,h,w] → [B,H,h·w,d]
    return t.reshape({B, heads, t.size(1) / heads, h * w}).transpose(2, 3);
  };
  const auto q = tokens(parts[0]);
  const auto index = [&](int64_t side, int64_t reach) { return relative_rows(side, side, 0, reach).to(x.device()); };
  auto bias = relative_scores(q, {.height = pos_embed->height_rel,
                                  .width = pos_embed->width_rel,
                                  .height_index = index(h, options.height),
                                  .width_index = index(w, options.width)});
  if (options.scale_positions) bias = bias / std::sqrt(static_cast<double>(options.head_width));
  const TokenGridScope scope({.height = h, .width = w});
  const auto mixed = attention(q, tokens(parts[1]), tokens(parts[2]), {.bias = bias, .module = this});  // [B,H,N,e]
  const auto y = mixed.transpose(2, 3).reshape({B, options.out_channels, h, w});
  return options.stride == 2 ? at::avg_pool2d(y, 2, 2) : y;
}

}  // namespace fovea
