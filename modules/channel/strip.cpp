#include "fovea/modules/channel/strip.h"

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

void StripAttentionImpl::ConvImpl::reset() {
  weight = register_parameter("weight", init_kaiming_uniform(shape));
}

at::Tensor StripAttentionImpl::ConvImpl::forward(const at::Tensor& x) {
  return at::conv2d(x, weight, /*bias=*/{}, /*stride=*/1, {shape[2] / 2, shape[3] / 2}, /*dilation=*/1, shape[0]);
}

void StripAttentionImpl::NormImpl::reset() {
  weight = register_parameter("weight", init_ones({channels}));
  bias = register_parameter("bias", init_zeros({channels}));
}

at::Tensor StripAttentionImpl::NormImpl::forward(const at::Tensor& x) {
  return at::group_norm(x, /*num_groups=*/1, weight, bias, /*eps=*/1e-5);
}

StripAttentionImpl::StripAttentionImpl(const StripAttentionOptions& options) : options(options) {
  require(options.channels > 0 && options.kernel > 0 && options.kernel % 2 == 1, ErrorKind::usage,
          "StripAttention: channels {} must be positive, kernel {} odd", options.channels, options.kernel);
  reset();
}

void StripAttentionImpl::reset() {
  conv_h = register_module("conv_h", std::make_shared<ConvImpl>(options.channels, options.kernel, 1));
  conv_w = register_module("conv_w", std::make_shared<ConvImpl>(options.channels, 1, options.kernel));
  norm_h = norm_w = nullptr;
  if (!options.local) return;
  norm_h = register_module("norm_h", std::make_shared<NormImpl>(options.channels));
  norm_w = register_module("norm_w", std::make_shared<NormImpl>(options.channels));
}

at::Tensor StripAttentionImpl::forward(const at::Tensor& x) {
  detail::check_input("StripAttention", x, options.channels, conv_h->weight);
  const auto rows = conv_h->forward(x.mean(3, /*keepdim=*/true));     // [B,C,h,1]
  const auto columns = conv_w->forward(x.mean(2, /*keepdim=*/true));  // [B,C,1,w]
  const auto gate = options.local ? apply_gate(at::silu(norm_h->forward(rows)), options.gate) *
                                        apply_gate(at::silu(norm_w->forward(columns)), options.gate)
                                  : apply_gate(rows + columns, options.gate);
  return detail::scaled(this, MapKind::feature, x, gate);
}

}  // namespace fovea
