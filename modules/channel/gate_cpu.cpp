#include "fovea/modules/channel/gate_cpu.h"

#include <ATen/ATen.h>

#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/kernels/cpu/feature_map.h"

namespace fovea::gate_cpu {
namespace {

kernels::FeatureMap map_of(const at::Tensor& x) {
  return {.type = cpu::number(x),
          .batch = x.size(0),
          .channels = x.size(1),
          .pixels = x.size(2) * x.size(3),
          .channels_last = !x.is_contiguous(),
          .data = x.const_data_ptr()};
}

at::Tensor sums(const at::Tensor& x, at::IntArrayRef sizes) {
  return at::empty(sizes, at::TensorOptions(cpu::sum_type(x)));
}

// A gate in the type of the sums.
at::Tensor wide(const at::Tensor& gate, const at::Tensor& x) {
  return gate.defined() ? gate.to(cpu::sum_type(x)).contiguous() : gate;
}

const void* data_of(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr() : nullptr;
}

}  // namespace

std::string refuses(const at::Tensor& x) {
  if (const auto reason = cpu::refuses(x); !reason.empty()) return reason;
  if (x.numel() == 0) return "a dimension is empty";
  if (!x.is_contiguous() && !x.is_contiguous(at::MemoryFormat::ChannelsLast)) {
    return "neither contiguous nor channels last";
  }
  return "";
}

Pooled over_pixels(const at::Tensor& x, bool largest) {
  auto mean = sums(x, {x.size(0), x.size(1)});
  auto top = largest ? sums(x, mean.sizes()) : at::Tensor();
  kernels::pool_pixels(map_of(x), mean.data_ptr(), largest ? top.data_ptr() : nullptr, cpu::runtime());
  return {mean.to(x.scalar_type()), largest ? top.to(x.scalar_type()) : top};
}

Pooled over_channels(const at::Tensor& x, const at::Tensor& gate) {
  const auto gates = wide(gate, x);
  auto mean = sums(x, {x.size(0), 1, x.size(2), x.size(3)}), top = sums(x, mean.sizes());
  kernels::pool_channels(map_of(x), data_of(gates), mean.data_ptr(), top.data_ptr(), cpu::runtime());
  return {mean.to(x.scalar_type()), top.to(x.scalar_type())};
}

at::Tensor scaled(const at::Tensor& x, const at::Tensor& channel_gate, const at::Tensor& pixel_gate) {
  const auto of_channels = wide(channel_gate, x), of_pixels = wide(pixel_gate, x);
  auto out = at::empty_like(x);
  kernels::scale_map(map_of(x), data_of(of_channels), data_of(of_pixels), out.data_ptr(), cpu::runtime());
  return out;
}

}  // namespace fovea::gate_cpu
