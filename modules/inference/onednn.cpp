#include "fovea/modules/inference/onednn.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include "fovea/modules/error.h"

namespace fovea::onednn {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
using Scalars = c10::List<std::optional<at::Scalar>>;
using Text = std::string_view;
using OptionalText = std::optional<std::string_view>;

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const OptionalTensor&, Text, Scalars,
                                   OptionalText);
using ReorderLinear = at::Tensor(const at::Tensor&, std::optional<int64_t>);
using ReorderConv = at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                               at::OptionalIntArrayRef);
using ConvPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const OptionalTensor&, at::IntArrayRef,
                                 at::IntArrayRef, at::IntArrayRef, int64_t, Text, Scalars, OptionalText);
using ConvBinary = at::Tensor&(at::Tensor&, const at::Tensor&, const at::Tensor&, const OptionalTensor&,
                               at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, Text,
                               std::optional<at::Scalar>, OptionalText, Scalars, OptionalText);

// Up to here a product is the reading of its weight, and the layout that oneDNN takes where it is told no number of
// rows is the best for all of them: a decoder is packed by one row and then steps several beams. Float32, 3072×768, in
// milliseconds of one core for 1, 4 and 8 rows: 0.95, 1.11, 1.38, against 1.05, 1.85, 2.48 packed for one row.
constexpr int64_t kFewRows = 16;

template <typename Signature>
std::optional<c10::TypedOperatorHandle<Signature>> find(const char* name, const char* overload = "") {
  const auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!handle) return std::nullopt;
  return handle->template typed<Signature>();
}

struct Operators {
  std::optional<c10::TypedOperatorHandle<LinearPointwise>> linear = find<LinearPointwise>("mkldnn::_linear_pointwise");
  std::optional<c10::TypedOperatorHandle<ReorderLinear>> reorder_linear =
      find<ReorderLinear>("mkldnn::_reorder_linear_weight");
  std::optional<c10::TypedOperatorHandle<ReorderConv>> reorder_conv =
      find<ReorderConv>("mkldnn::_reorder_convolution_weight");
  std::optional<c10::TypedOperatorHandle<ConvPointwise>> conv = find<ConvPointwise>("mkldnn::_convolution_pointwise");
  std::optional<c10::TypedOperatorHandle<ConvBinary>> conv_add =
      find<ConvBinary>("mkldnn::_convolution_pointwise_", "binary");
  bool all() const { return linear && reorder_linear && reorder_conv && conv && conv_add; }
};

const Operators& operators() {
  static const Operators found;
  return found;
}

// "none" where oneDNN has none that LibTorch can name.
Text post_op(Activation activation) {
  switch (activation) {
    case Activation::none:
    case Activation::quick_gelu:
      return "none";
    case Activation::relu:
      return "relu";
    case Activation::gelu:
    case Activation::gelu_tanh:
      return "gelu";
    case Activation::silu:
      return "swish";
    case Activation::hard_swish:
      return "hardswish";
  }
  return "none";
}

OptionalText algorithm(Activation activation) {
  if (activation == Activation::gelu) return "none";
  if (activation == Activation::gelu_tanh) return "tanh";
  return std::nullopt;
}

at::Tensor activate_unfused(const at::Tensor& y, Activation activation) {
  return post_op(activation) == "none" ? activate(y, activation) : y;
}

OptionalTensor optional(const at::Tensor& tensor) {
  return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
}

}  // namespace

bool supports(const at::Tensor& weight) {
  if (!weight.device().is_cpu() || !operators().all()) return false;
  if (weight.scalar_type() == at::kFloat) return true;
  return weight.scalar_type() == at::kBFloat16 && __builtin_cpu_supports("avx512bf16");
}

at::Tensor reorder_linear(const at::Tensor& weight, at::IntArrayRef input) {
  const int64_t rows = c10::multiply_integers(input) / weight.size(1);
  return operators().reorder_linear->call(weight, rows > kFewRows ? std::optional(rows) : std::nullopt);
}

at::Tensor reorder_conv(const at::Tensor& weight, const ConvGeometry& geometry, at::IntArrayRef input) {
  return operators().reorder_conv->call(weight, geometry.padding, {geometry.stride, geometry.stride},
                                        {geometry.dilation, geometry.dilation}, geometry.groups, input);
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias, Activation activation) {
  return activate_unfused(
      operators().linear->call(x, packed, optional(bias), post_op(activation), Scalars(), algorithm(activation)),
      activation);
}

at::Tensor conv(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias, const ConvGeometry& geometry,
                Activation activation) {
  return activate_unfused(
      operators().conv->call(x, packed, optional(bias), geometry.padding, {geometry.stride, geometry.stride},
                             {geometry.dilation, geometry.dilation}, geometry.groups, post_op(activation), Scalars(),
                             algorithm(activation)),
      activation);
}

at::Tensor conv_add_(at::Tensor& residual, const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                     const ConvGeometry& geometry, Activation activation) {
  const Text name = post_op(activation);
  const OptionalText unary = name == "none" ? OptionalText() : OptionalText(name);
  return activate_unfused(
      operators().conv_add->call(residual, x, packed, optional(bias), geometry.padding,
                                 {geometry.stride, geometry.stride}, {geometry.dilation, geometry.dilation},
                                 geometry.groups, "add", 1.0, unary, Scalars(), algorithm(activation)),
      activation);
}

}  // namespace fovea::onednn
