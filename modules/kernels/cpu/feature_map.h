// What gates of feature maps read and write: average and maximum over pixels or over channels in one pass, and the
// product with both gates in one pass.
#pragma once

#include "fovea/modules/kernels/cpu/runtime.h"
#include "fovea/modules/kernels/feature_map.h"

namespace fovea::kernels {

// mean [B,C] and largest [B,C] over pixels; largest null: not wanted.
void pool_pixels(const FeatureMap& x, void* mean, void* largest, const CpuRuntime& runtime);

// mean [B,P] and largest [B,P] over channels of x·gate, gate [B,C] or null.
void pool_channels(const FeatureMap& x, const void* gate, void* mean, void* largest, const CpuRuntime& runtime);

// out = x·channel_gate·pixel_gate in the layout and type of x; either gate may be null.
void scale_map(const FeatureMap& x, const void* channel_gate, const void* pixel_gate, void* out,
               const CpuRuntime& runtime);

}  // namespace fovea::kernels
