#include "fovea/modules/inference/linear.h"

#include <c10/core/GradMode.h>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/inference/onednn.h"

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
  weight = register_parameter(
      "weight", normal ? init_truncated_normal({out, in}, options.initial_std) : init_kaiming_uniform({out, in}));
  bias = at::Tensor();
  if (options.bias) bias = register_parameter("bias", normal ? init_zeros({out}) : init_fan_in_uniform({out}, in));
}

void LinearImpl::pack() {
  if (!onednn::supports(weight)) return;
  packed_.set([plain = weight.detach()](at::IntArrayRef input) { return onednn::reorder_linear(plain, input); }, bias,
              weight);
}

at::Tensor LinearImpl::forward(const at::Tensor& x, Activation activation) {
  if (!at::GradMode::is_enabled() && x.scalar_type() == weight.scalar_type() && packed_.valid_for(weight)) {
    return onednn::linear(x, packed_.weight(x), packed_.bias(), activation);
  }
  return activate(at::linear(x, weight, bias), activation);
}

}  // namespace fovea
