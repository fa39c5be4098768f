#include "fovea/modules/channel/gate_cuda.h"

#include <ATen/ATen.h>

#include "fovea/modules/attention/cuda_runtime.h"

namespace fovea::gate_cuda {
namespace {

using cuda::Launch;
using cuda::Table;
using gated_map::empty_sums;
using gated_map::GateGradient;
using gated_map::GivenGradients;
using gated_map::kernel_gradients;
using gated_map::kernel_map;
using gated_map::Pooled;

float* floats(const at::Tensor& t) {
  return t.defined() ? t.data_ptr<float>() : nullptr;
}

void* pooling_workspace(Launch& launch, const at::Tensor& x, bool over_pixels) {
  return launch.workspace(launch.table().pooling_workspace(kernel_map(x), over_pixels));
}

Pooled over_pixels(const at::Tensor& x, bool largest) {
  Pooled pooled{.mean = empty_sums(x, {x.size(0), x.size(1)})};
  if (largest) pooled.largest = at::empty_like(pooled.mean);
  Launch launch("pooling over pixels", x);
  launch(&Table::pool_pixels, kernel_map(x), floats(pooled.mean), floats(pooled.largest),
         pooling_workspace(launch, x, true));
  return pooled;
}

Pooled over_channels(const at::Tensor& x, const at::Tensor& channel_gate) {
  Pooled pooled{.mean = empty_sums(x, {x.size(0), 1, x.size(2), x.size(3)})};
  pooled.largest = at::empty_like(pooled.mean);
  Launch launch("pooling over channels", x);
  launch(&Table::pool_channels, kernel_map(x), floats(channel_gate), floats(pooled.mean), floats(pooled.largest),
         pooling_workspace(launch, x, false));
  return pooled;
}

at::Tensor scaled(const at::Tensor& x, const at::Tensor& channel_gate, const at::Tensor& pixel_gate) {
  auto out = at::empty_like(x);
  const Launch launch("scaling by gates", x);
  launch(&Table::scale_map, kernel_map(x), floats(channel_gate), floats(pixel_gate), out.data_ptr());
  return out;
}

GateGradient of_pixel_gate(const GivenGradients& given, const at::Tensor& maximum) {
  const auto& x = given.x;
  GateGradient found{.grad = empty_sums(x, {x.size(0), 1, x.size(2), x.size(3)})};
  if (maximum.defined()) found.count = at::empty_like(found.grad);
  Launch launch("the gradient of a gate of pixels", x);
  launch(&Table::pixel_gate_gradient, kernel_map(x), kernel_gradients(given), floats(maximum), floats(found.grad),
         floats(found.count), pooling_workspace(launch, x, false));
  return found;
}

GateGradient of_channel_gate(const GivenGradients& given, const at::Tensor& maximum) {
  const auto& x = given.x;
  GateGradient found{.grad = empty_sums(x, {x.size(0), x.size(1)})};
  if (maximum.defined()) found.count = at::empty_like(found.grad);
  Launch launch("the gradient of a gate of channels", x);
  launch(&Table::channel_gate_gradient, kernel_map(x), kernel_gradients(given), floats(maximum), floats(found.grad),
         floats(found.count), pooling_workspace(launch, x, true));
  return found;
}

at::Tensor of_map(const GivenGradients& given) {
  auto grad_x = at::empty_like(given.x);
  const Launch launch("the gradient of a gated map", given.x);
  launch(&Table::map_gradient, kernel_map(given.x), kernel_gradients(given), grad_x.data_ptr());
  return grad_x;
}

}  // namespace

std::string refuses(const at::Tensor& x) {
  const auto reason = cuda::refuses(x);
  return reason.empty() ? gated_map::refuses(x) : reason;
}

const gated_map::Kernels& kernels() {
  static const gated_map::Kernels table{over_pixels, over_channels, scaled, of_pixel_gate, of_channel_gate, of_map};
  return table;
}

}  // namespace fovea::gate_cuda
