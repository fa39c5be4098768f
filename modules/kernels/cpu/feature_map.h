// What gates of feature maps read and write: average and maximum over pixels or over channels in one pass, and the
// product with both gates in one pass.
#pragma once

#include "fovea/modules/kernels/cpu/runtime.h"

namespace fovea::kernels {

struct FeatureMap {
  Number type = Number::float32;  // sums, pooled values and gates are float32, or float64 where it is
  int64_t batch = 0;              // B
  int64_t channels = 0;           // C
  int64_t pixels = 0;             // P = h·w
  bool channels_last = false;     // [B,P,C] in memory; false: [B,C,P]
  const void* data = nullptr;
};

// mean [B,C] and largest [B,C] over pixels; largest null: not wanted.
void pool_pixels(const FeatureMap& x, void* mean, void* largest, const CpuRuntime& runtime);

// mean [B,P] and largest [B,P] over channels of x·gate, gate [B,C] or null.
void pool_channels(const FeatureMap& x, const void* gate, void* mean, void* largest, const CpuRuntime& runtime);

// out = x·channel_gate·pixel_gate in the layout and type of x; either gate may be null.
void scale_map(const FeatureMap& x, const void* channel_gate, const void* pixel_gate, void* out,
               const CpuRuntime& runtime);

}  // namespace fovea::kernels
