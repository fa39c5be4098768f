#include "fovea/modules/channel/split_attention.h"

#include "fovea/modules/error.h"

namespace fovea {

SplitAttentionImpl::SplitAttentionImpl(const SplitAttentionOptions& given) : options(given) {
  if (options.out_channels == 0) options.out_channels = options.channels;
  require(options.channels > 0 && options.out_channels > 0 && options.stride > 0 && options.groups > 0 &&
              options.radix > 0 && options.reduction > 0,
          ErrorKind::usage,
          "SplitAttention: channels {}, out_channels {}, stride {}, groups {}, radix {}, reduction {} must be positive",
          options.channels, options.out_channels, options.stride, options.groups, options.radix, options.reduction);
  require(options.kernel > 0 && options.kernel % 2 == 1, ErrorKind::usage, "SplitAttention: kernel {} must be odd",
          options.kernel);
  require(options.channels % (options.groups * options.radix) == 0 && options.out_channels % options.groups == 0,
          ErrorKind::usage, "SplitAttention: channels {} and out_channels {} do not divide by groups {} and radix {}",
          options.channels, options.out_channels, options.groups, options.radix);
  reset();
}

void SplitAttentionImpl::reset() {
  const int64_t out = options.out_channels;
  const int64_t parts = out * options.radix;
  const int64_t width = rounded_width(
      static_cast<double>(options.channels * options.radix) / static_cast<double>(options.reduction), 8, 32);
  conv = register_module("conv", Conv2d({.in_channels = options.channels,
                                         .out_channels = parts,
                                         .kernel = options.kernel,
                                         .stride = options.stride,
                                         .padding = options.kernel / 2,
                                         .groups = options.groups * options.radix,
                                         .bias = false}));
  fc1 = register_module("fc1", Conv2d({.in_channels = out, .out_channels = width, .groups = options.groups}));
  fc2 = register_module("fc2", Conv2d({.in_channels = width, .out_channels = parts, .groups = options.groups}));
  bn0 = bn1 = nullptr;
  if (!options.norm) return;
  bn0 = register_module("bn0", BatchNorm2d({.channels = parts}));
  bn1 = register_module("bn1", BatchNorm2d({.channels = width}));
}

at::Tensor SplitAttentionImpl::forward(const at::Tensor& x) {
  detail::check_input("SplitAttention", x, options.channels, conv->weight);
  if (bn1) detail::check_statistics("SplitAttention", x, is_training());
  const int64_t B = x.size(0), out = options.out_channels, radix = options.radix;
  const auto y = conv_norm(conv.ptr(), bn0 ? bn0.ptr() : nullptr, x, Activation::relu);  // [B,radix·C',h',w']
  const auto parts = y.view({B, radix, out, y.size(2), y.size(3)});
  const auto pooled = parts.sum(1).mean({2, 3}, /*keepdim=*/true);  // [B,C',1,1]
  const auto hidden = conv_norm(fc1.ptr(), bn1 ? bn1.ptr() : nullptr, pooled, Activation::relu);
  const auto scores = fc2->forward(hidden).view({B, options.groups, radix, out / options.groups});
  const auto squashed = radix > 1 ? at::softmax(scores, 2) : at::sigmoid(scores);
  const auto choice = squashed.transpose(1, 2).reshape({B, radix, out, 1, 1});
  detail::record_gate(this, MapKind::channel, choice, y);
  return (parts * choice).sum(1);
}

}  // namespace fovea
