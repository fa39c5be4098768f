#include "fovea/modules/inference/linear.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/inference/onednn.h"
#include "fovea/modules/inference/thin_product.h"

namespace fovea {

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return at::relu(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::silu:
      return at::silu(x);
    case Activation::quick_gelu:
      return x * at::sigmoid(1.702 * x);
    case Activation::hard_swish:
      return at::hardswish(x);
  }
  return x;
}

LinearImpl::LinearImpl(const LinearOptions& options) : options(options) {
  require(options.in_features > 0 && options.out_features > 0, ErrorKind::usage,
          "Linear: in_features {} and out_features {} must be positive", options.in_features, options.out_features);
  reset();
}

void LinearImpl::reset() {
  packed_.drop();
  const int64_t in = options.in_features;
  const int64_t out = options.out_features;
  const bool normal = options.initial_std > 0;
  weight_scale = at::Tensor();
  if (options.int8) {
    weight = register_buffer("weight", at::zeros({out, in}, at::kChar));
    weight_scale = register_buffer("weight_scale", at::zeros({out}));
  } else {
    weight = register_parameter(
        "weight", normal ? init_truncated_normal({out, in}, options.initial_std) : init_kaiming_uniform({out, in}));
  }
  bias = at::Tensor();
  if (options.bias) bias = register_parameter("bias", normal ? init_zeros({out}) : init_fan_in_uniform({out}, in));
}

void LinearImpl::quantise() {
  if (options.int8) return;
  packed_.drop();
  const auto values = weight.detach();
  const auto steps = (values.to(at::kFloat).abs().amax(1) / 127).clamp_min(1e-30);
  options.int8 = true;
  parameters_.erase("weight");
  weight = register_buffer("weight", at::round(values / steps.unsqueeze(1)).clamp(-127, 127).to(at::kChar));
  weight_scale = register_buffer("weight_scale", steps.to(values.scalar_type()));
}

at::Tensor LinearImpl::int8_product(const at::Tensor& x) const {
  const auto type = x.scalar_type();
  const bool kernel = x.device().is_cpu() && x.numel() > 0 && !(at::GradMode::is_enabled() && x.requires_grad()) &&
                      (type == at::kFloat || type == at::kBFloat16 || type == at::kHalf);
  if (!kernel) return at::linear(x, weight.to(type) * weight_scale.to(type).unsqueeze(1), bias);
  auto shape = x.sizes().vec();
  shape.back() = options.out_features;
  const auto rows = x.reshape({-1, options.in_features}).contiguous();
  const auto y = at::_weight_int8pack_mm(rows, weight, weight_scale.to(type)).view(shape);
  return bias.defined() ? y + bias : y;
}

void LinearImpl::pack() {
  if (options.int8 || !onednn::supports(weight)) return;
  packed_.set([plain = weight.detach()](at::IntArrayRef input) { return onednn::reorder_linear(plain, input); }, bias,
              weight);
}

at::Tensor LinearImpl::forward(const at::Tensor& x, Activation activation) {
  if (!at::GradMode::is_enabled() && x.scalar_type() == weight.scalar_type() && packed_.valid_for(weight)) {
    if (thin::runs({x, weight})) return activate(thin::product({x, weight}, bias), activation);
    return onednn::linear(x, packed_.weight(x), packed_.bias(), activation);
  }
  return activate(options.int8 ? int8_product(x) : at::linear(x, weight, bias), activation);
}

}  // namespace fovea
