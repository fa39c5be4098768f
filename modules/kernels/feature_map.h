// A map that gates pool and scale: what the kernels of every device are told.
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

}  // namespace fovea::kernels
