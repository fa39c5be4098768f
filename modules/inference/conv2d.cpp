#include "fovea/modules/inference/conv2d.h"

#include <c10/core/GradMode.h>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/inference/onednn.h"

namespace fovea {
namespace {

onednn::ConvGeometry geometry(const Conv2dOptions& options) {
  return {
      .stride = options.stride, .padding = options.paddings(), .groups = options.groups, .dilation = options.dilation};
}

}  // namespace

Conv2dImpl::Conv2dImpl(const Conv2dOptions& options) : options(options) {
  require(options.in_channels > 0 && options.out_channels > 0 && options.kernel > 0 && options.stride > 0 &&
              options.padding >= 0 && options.groups > 0 && options.dilation > 0 && options.kernel_width >= 0 &&
              options.padding_width >= 0,
          ErrorKind::usage,
          "Conv2d: in_channels {}, out_channels {}, kernel {}, stride {}, groups {}, dilation {} must be positive",
          options.in_channels, options.out_channels, options.kernel, options.stride, options.groups, options.dilation);
  require(options.in_channels % options.groups == 0 && options.out_channels % options.groups == 0, ErrorKind::usage,
          "Conv2d: in_channels {} and out_channels {} are not divisible by groups {}", options.in_channels,
          options.out_channels, options.groups);
  reset();
}

void Conv2dImpl::reset() {
  packed_.drop();
  const int64_t fan_in_channels = options.in_channels / options.groups;
  const auto [height, width] = options.sides();
  weight = register_parameter("weight", init_kaiming_uniform({options.out_channels, fan_in_channels, height, width}));
  bias = options.bias
             ? register_parameter("bias", init_fan_in_uniform({options.out_channels}, fan_in_channels * height * width))
             : at::Tensor();
}

bool Conv2dImpl::add_parameter(std::string_view name) {
  if (name != "bias" || options.bias || !options.bias_from_checkpoint) return false;
  packed_.drop();
  options.bias = true;  // so that a clone has it too
  bias = register_parameter("bias", at::zeros({options.out_channels}, weight.options()));
  return true;
}

at::Tensor Conv2dImpl::forward(const at::Tensor& x) {
  return at::conv2d(x, weight, bias, options.stride, options.paddings(), options.dilation, options.groups);
}

bool Conv2dImpl::is_packed() const {
  return packed_.valid_for(weight);
}

void Conv2dImpl::pack_with(const BatchNorm2dImpl* norm) {
  if (!onednn::supports(weight)) return;
  at::NoGradGuard no_grad;
  at::Tensor folded = weight.detach();
  at::Tensor shift = bias;
  if (norm != nullptr) {
    // norm(conv(x)) = conv with W·g and (b − mean)·g + β, where g = γ/√(var + eps); in fp32 whatever the type.
    const auto gain = norm->weight.to(at::kFloat) / at::sqrt(norm->running_var.to(at::kFloat) + norm->options.eps);
    folded = (folded.to(at::kFloat) * gain.view({-1, 1, 1, 1})).to(weight.scalar_type());
    const auto start = shift.defined() ? shift.to(at::kFloat) : at::zeros_like(gain);
    shift = ((start - norm->running_mean.to(at::kFloat)) * gain + norm->bias.to(at::kFloat)).to(weight.scalar_type());
  }
  folded = folded.contiguous(at::MemoryFormat::ChannelsLast);
  packed_.set([folded, geometry = geometry(options)](
                  at::IntArrayRef input) { return onednn::reorder_conv(folded, geometry, input); },
              shift, weight);
}

at::Tensor conv_norm(const std::shared_ptr<Conv2dImpl>& conv, const std::shared_ptr<BatchNorm2dImpl>& norm,
                     const at::Tensor& x, Activation activation, const at::Tensor& residual) {
  if (!at::GradMode::is_enabled() && x.scalar_type() == conv->weight.scalar_type() && conv->is_packed()) {
    const auto& packed = conv->packed_;
    if (!residual.defined()) {
      return onednn::conv(x, packed.weight(x), packed.bias(), geometry(conv->options), activation);
    }
    const auto y = onednn::conv(x, packed.weight(x), packed.bias(), geometry(conv->options), Activation::none);
    return activation == Activation::relu ? y.add_(residual).relu_() : activate(y.add_(residual), activation);
  }
  auto y = norm ? norm->forward(conv->forward(x)) : conv->forward(x);
  if (residual.defined()) y = y + residual;
  return activate(y, activation);
}

}  // namespace fovea
