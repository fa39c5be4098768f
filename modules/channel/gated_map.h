// A feature map times gates that are computed from its own pooled values: pooling, scaling and their gradients are
// kernels that read the map as seldom as can be, the small layers between are LibTorch's.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "fovea/modules/kernels/feature_map.h"

namespace fovea::gated_map {

// Tensors of kernels are contiguous and in the type of the sums (float32, or float64 where x is) but for x, grad_out
// and results in their memory format. Undefined: none.

struct Pooled {
  at::Tensor mean;  // [B,C] over pixels, [B,1,h,w] over channels
  at::Tensor largest;
};

// What comes back through a pooling, with what it had found.
struct PooledGradient {
  at::Tensor mean;
  at::Tensor largest;  // with the two that follow
  at::Tensor maximum;
  at::Tensor count;  // places that share the maximum: each gets its part of the gradient
};

struct GivenGradients {
  at::Tensor x;                // [B,C,h,w], contiguous or channels last
  at::Tensor grad_out;         // in the memory format of x
  at::Tensor channel_gate;     // [B,C]
  at::Tensor pixel_gate;       // [B,1,h,w]
  bool pooled_scaled = false;  // what was pooled over channels was x·channel_gate, not x
  PooledGradient over_channels;
  PooledGradient over_pixels;
};

struct GateGradient {
  at::Tensor grad;
  at::Tensor count;  // of places that share each of the maxima that were given
};

// Those of one device.
struct Kernels {
  Pooled (*over_pixels)(const at::Tensor& x, bool largest);
  Pooled (*over_channels)(const at::Tensor& x, const at::Tensor& channel_gate);  // of x·channel_gate
  at::Tensor (*scaled)(const at::Tensor& x, const at::Tensor& channel_gate, const at::Tensor& pixel_gate);
  // Σ_c grad_out·x·channel_gate, [B,1,h,w]
  GateGradient (*of_pixel_gate)(const GivenGradients& given, const at::Tensor& maximum);
  // Σ_p x·(grad_out·pixel_gate + what comes back through over_channels where that saw the gate), [B,C]
  GateGradient (*of_channel_gate)(const GivenGradients& given, const at::Tensor& maximum);
  // grad_out·channel_gate·pixel_gate and what comes back through both poolings
  at::Tensor (*of_map)(const GivenGradients& given);
};

// Of the kernels of every device: the map and the gradients as they see them, and room for sums.
kernels::FeatureMap kernel_map(const at::Tensor& x);
kernels::MapGradients kernel_gradients(const GivenGradients& given);
at::Tensor empty_sums(const at::Tensor& x, at::IntArrayRef sizes);

using Weights = std::vector<at::Tensor>;  // of the small layers; an optional one may be undefined

struct Problem {
  const Kernels& kernels;
  at::Tensor x;
  Weights weights;
  // A gate of pooled values in the type of x; null: there is none.
  std::function<at::Tensor(const Pooled& over_pixels, const Weights& weights)> channel_gate;
  std::function<at::Tensor(const Pooled& over_channels, const Weights& weights)> pixel_gate;
  bool largest = true;        // whether the channel gate reads the maximum
  bool pooled_scaled = true;  // what the pixel gate pools is x·channel_gate, not x
  // All of it in differentiable operations, for gradients that are differentiated again.
  std::function<at::Tensor(const at::Tensor& x, const Weights& weights)> formula;
};

struct Gated {
  at::Tensor output;
  at::Tensor channel_gate;  // as the functions gave them, outside of any graph
  at::Tensor pixel_gate;
};

// Why no kernel takes the map x [B,C,h,w], whatever its device; empty where they do.
std::string refuses(const at::Tensor& x);

// x·channel_gate·pixel_gate; its gradients reach x and the weights where autograd follows them.
Gated run(const Problem& problem);

}  // namespace fovea::gated_map
