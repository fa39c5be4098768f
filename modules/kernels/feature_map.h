// A map that gates pool and scale, and its gradients: what the kernels of every device are told.
#pragma once

#include "fovea/modules/kernels/number.h"

namespace fovea::kernels {

struct FeatureMap {
  Number type = Number::float32;  // sums, pooled values and gates are float32, or float64 where it is
  int64_t batch = 0;              // B
  int64_t channels = 0;           // C
  int64_t pixels = 0;             // P = h·w
  bool channels_last = false;     // [B,P,C] in memory; false: [B,C,P]
  const void* data = nullptr;
};

// Gradients of what was pooled, with what was pooled: [B,P] over channels, [B,C] over pixels. Null: none.
struct PooledGradient {
  const void* mean = nullptr;
  const void* largest = nullptr;  // with the two that follow
  const void* maximum = nullptr;  // what was found
  const void* count = nullptr;    // how many places share it: each gets its part of the gradient
};

struct MapGradients {
  const void* grad_out = nullptr;      // as x
  const void* channel_gate = nullptr;  // [B,C], null: none
  const void* pixel_gate = nullptr;    // [B,P], null: none
  bool pooled_scaled = false;          // what was pooled over channels was x·channel_gate, not x
  PooledGradient over_channels;
  PooledGradient over_pixels;
};

}  // namespace fovea::kernels
