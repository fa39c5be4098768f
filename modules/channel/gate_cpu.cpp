#include "fovea/modules/channel/gate_cpu.h"

#include <ATen/ATen.h>

#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/kernels/cpu/feature_map.h"

namespace fovea::gate_cpu {
namespace {

using cpu::data_of;
using gated_map::empty_sums;
using gated_map::GateGradient;
using gated_map::GivenGradients;
using gated_map::kernel_gradients;
using gated_map::kernel_map;
using gated_map::Pooled;

void* data_for(at::Tensor& t) {
  return t.defined() ? t.data_ptr() : nullptr;
}

Pooled over_pixels(const at::Tensor& x, bool largest) {
  Pooled pooled{.mean = empty_sums(x, {x.size(0), x.size(1)})};
  if (largest) pooled.largest = empty_sums(x, pooled.mean.sizes());
  kernels::pool_pixels(kernel_map(x), pooled.mean.data_ptr(), data_for(pooled.largest), cpu::runtime());
  return pooled;
}

Pooled over_channels(const at::Tensor& x, const at::Tensor& channel_gate) {
  Pooled pooled{.mean = empty_sums(x, {x.size(0), 1, x.size(2), x.size(3)})};
  pooled.largest = empty_sums(x, pooled.mean.sizes());
  kernels::pool_channels(kernel_map(x), data_of(channel_gate), pooled.mean.data_ptr(), pooled.largest.data_ptr(),
                         cpu::runtime());
  return pooled;
}

at::Tensor scaled(const at::Tensor& x, const at::Tensor& channel_gate, const at::Tensor& pixel_gate) {
  auto out = at::empty_like(x);
  kernels::scale_map(kernel_map(x), data_of(channel_gate), data_of(pixel_gate), out.data_ptr(), cpu::runtime());
  return out;
}

GateGradient of_pixel_gate(const GivenGradients& given, const at::Tensor& maximum) {
  GateGradient found{.grad = empty_sums(given.x, {given.x.size(0), 1, given.x.size(2), given.x.size(3)})};
  if (maximum.defined()) found.count = at::empty_like(found.grad);
  kernels::pixel_gate_gradient(kernel_map(given.x), kernel_gradients(given), data_of(maximum), found.grad.data_ptr(),
                               data_for(found.count), cpu::runtime());
  return found;
}

GateGradient of_channel_gate(const GivenGradients& given, const at::Tensor& maximum) {
  GateGradient found{.grad = empty_sums(given.x, {given.x.size(0), given.x.size(1)})};
  if (maximum.defined()) found.count = at::empty_like(found.grad);
  kernels::channel_gate_gradient(kernel_map(given.x), kernel_gradients(given), data_of(maximum), found.grad.data_ptr(),
                                 data_for(found.count), cpu::runtime());
  return found;
}

at::Tensor of_map(const GivenGradients& given) {
  auto grad_x = at::empty_like(given.x);
  kernels::map_gradient(kernel_map(given.x), kernel_gradients(given), grad_x.data_ptr(), cpu::runtime());
  return grad_x;
}

}  // namespace

std::string refuses(const at::Tensor& x) {
  const auto reason = cpu::refuses(x);
  return reason.empty() ? gated_map::refuses(x) : reason;
}

const gated_map::Kernels& kernels() {
  static const gated_map::Kernels table{over_pixels, over_channels, scaled, of_pixel_gate, of_channel_gate, of_map};
  return table;
}

}  // namespace fovea::gate_cpu
