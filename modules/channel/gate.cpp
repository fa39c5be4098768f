#include "fovea/modules/channel/gate.h"

#include <ATen/ATen.h>
#include <fmt/ostream.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/autocast.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/thin_product.h"
#include "fovea/modules/shape.h"

namespace fovea {

at::Tensor apply_gate(const at::Tensor& scores, Gate gate) {
  return gate == Gate::sigmoid ? at::sigmoid(scores) : at::hardsigmoid(scores);
}

namespace {

// weight [out,in] or [out,in,1,1]. Pooled channels are few rows, one for each image.
at::Tensor layer_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const thin::Factor factor{x, weight.flatten(1)};
  if (thin::runs(factor) && !differentiates({bias})) return thin::product(factor, bias);
  return at::linear(x, factor.weight, bias);
}

}  // namespace

at::Tensor SqueezeMlp::operator()(const at::Tensor& pooled) const {
  const auto squeezed = activate(layer_of(pooled, fc1_weight, fc1_bias), activation);  // [B,r]
  return layer_of(squeezed, fc2_weight, fc2_bias);                                     // [B,C]
}

int64_t squeeze_width(int64_t channels, int64_t reduction, int64_t divisor) {
  const double exact = static_cast<double>(channels) / static_cast<double>(reduction);
  const auto rounded = static_cast<int64_t>(exact + static_cast<double>(divisor) / 2) / divisor * divisor;
  return std::max(divisor, rounded);
}

int64_t rounded_width(double exact, int64_t divisor, int64_t at_least) {
  const auto nearest = static_cast<int64_t>(exact + static_cast<double>(divisor) / 2) / divisor * divisor;
  const int64_t width = std::max(at_least, nearest);
  return static_cast<double>(width) < 0.9 * exact ? width + divisor : width;
}

namespace detail {

void check_feature_map(const char* function, const at::Tensor& x) {
  require(x.defined(), ErrorKind::data, "{}: x is undefined", function);
  require(x.dim() == 4, ErrorKind::data, "{}: x must be [B,C,h,w], got {}", function, shape_text(x));
  require(x.is_floating_point(), ErrorKind::data, "{}: x must be floating, got {}", function,
          c10::toString(x.scalar_type()));
  require(x.size(2) > 0 && x.size(3) > 0, ErrorKind::data, "{}: x {} has no pixels", function, shape_text(x));
}

void check_input(const char* layer, const at::Tensor& x, int64_t channels, const at::Tensor& parameter) {
  check_feature_map(layer, x);
  require(x.size(1) == channels, ErrorKind::data, "{}: x must be [B,{},h,w], got {}", layer, channels, shape_text(x));
  if (parameter.defined()) check_weight(layer, "its parameter", parameter, x);
}

SqueezeMlp autocast_mlp(SqueezeMlp mlp, const at::Tensor& x) {
  for (auto* weight : {&mlp.fc1_weight, &mlp.fc1_bias, &mlp.fc2_weight, &mlp.fc2_bias}) {
    *weight = autocast_like(*weight, x);
  }
  return mlp;
}

void check_statistics(const char* layer, const at::Tensor& x, bool training) {
  require(!training || x.size(0) != 1, ErrorKind::usage,
          "{}: a batch of one image has no statistics to train its norm of pooled channels with", layer);
}

at::Tensor scaled(const torch::nn::Module* module, MapKind kind, const at::Tensor& x, const at::Tensor& gate) {
  record_gate(module, kind, kind == MapKind::feature ? gate.expand_as(x) : gate, x);
  return x * gate;
}

void check_weight(const char* function, const char* name, const at::Tensor& weight, const at::Tensor& x) {
  require(weight.scalar_type() == x.scalar_type(), ErrorKind::data, "{}: x is {} but {} is {}", function,
          c10::toString(x.scalar_type()), name, c10::toString(weight.scalar_type()));
  require(weight.device() == x.device(), ErrorKind::data, "{}: x is on {} but {} is on {}", function,
          fmt::streamed(x.device()), name, fmt::streamed(weight.device()));
}

void check_mlp(const char* function, const SqueezeMlp& mlp, const at::Tensor& x) {
  const auto is_matrix = [](const at::Tensor& w) {
    return w.defined() && (w.dim() == 2 || (w.dim() == 4 && w.size(2) == 1 && w.size(3) == 1));
  };
  require(is_matrix(mlp.fc1_weight) && is_matrix(mlp.fc2_weight), ErrorKind::data,
          "{}: fc1 and fc2 weights must be [out,in] or [out,in,1,1]", function);
  require(mlp.fc1_weight.size(1) == x.size(1), ErrorKind::data, "{}: fc1 weight {} does not take the channels of x {}",
          function, shape_text(mlp.fc1_weight), shape_text(x));
  require(mlp.fc2_weight.size(0) == x.size(1) && mlp.fc2_weight.size(1) == mlp.fc1_weight.size(0), ErrorKind::data,
          "{}: fc2 weight {} does not lead from fc1 weight {} back to the channels of x {}", function,
          shape_text(mlp.fc2_weight), shape_text(mlp.fc1_weight), shape_text(x));
  check_weight(function, "fc1 weight", mlp.fc1_weight, x);
  check_weight(function, "fc2 weight", mlp.fc2_weight, x);
  const auto check_bias = [&](const char* name, const at::Tensor& bias, const at::Tensor& weight) {
    if (!bias.defined()) return;
    require(bias.dim() == 1 && bias.size(0) == weight.size(0), ErrorKind::data, "{}: {} {} does not fit weight {}",
            function, name, shape_text(bias), shape_text(weight));
    check_weight(function, name, bias, x);
  };
  check_bias("fc1 bias", mlp.fc1_bias, mlp.fc1_weight);
  check_bias("fc2 bias", mlp.fc2_bias, mlp.fc2_weight);
}

void record_gate(const torch::nn::Module* module, MapKind kind, const at::Tensor& gate, const at::Tensor& x) {
  if (!recording::wanted(module)) return;
  const TokenGridScope scope({.height = x.size(2), .width = x.size(3)});
  const auto index = recording::add(module, kind, kind == MapKind::channel ? gate.flatten(1) : gate);
  if (recording::gradients(module) && gate.requires_grad()) {
    recording::add_gradient(index, gate, [kind](const at::Tensor& gradient) {
      return kind == MapKind::channel ? gradient.flatten(1) : gradient;
    });
  }
}

}  // namespace detail
}  // namespace fovea
