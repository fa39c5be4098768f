// The CPU kernels of gates: pooling and scaling of a feature map, one pass each.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace fovea::gate_cpu {

// Why the kernels do not take x [B,C,h,w]; empty where they do.
std::string refuses(const at::Tensor& x);

struct Pooled {
  at::Tensor mean;
  at::Tensor largest;  // undefined when not asked for
};

// Over pixels, [B,C]; over channels of x·gate (gate [B,C], or undefined), [B,1,h,w]. In the type of x.
Pooled over_pixels(const at::Tensor& x, bool largest);
Pooled over_channels(const at::Tensor& x, const at::Tensor& gate);

// x·channel_gate·pixel_gate, [B,C] and [B,1,h,w], either of which may be undefined; in the memory format of x.
at::Tensor scaled(const at::Tensor& x, const at::Tensor& channel_gate, const at::Tensor& pixel_gate);

}  // namespace fovea::gate_cpu
