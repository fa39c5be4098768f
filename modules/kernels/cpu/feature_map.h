// What gates of feature maps read and write: average and maximum over pixels or over channels in one pass, the product
// with both gates in one pass, and their gradients. Gates and what is pooled are in the type of the sums.
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

// grad [B,P] of the pixel gate: Σ_c grad_out·x·channel_gate. Where the maxima [B,P] of pool_channels are given, `count`
// receives how many channels share them, for PooledGradient.
void pixel_gate_gradient(const FeatureMap& x, const MapGradients& given, const void* maximum, void* grad, void* count,
                         const CpuRuntime& runtime);

// grad [B,C] of the channel gate: Σ_p x·(grad_out·pixel_gate + what comes back through over_channels, where that saw
// the gate), and `count` of the maxima [B,C] of pool_pixels.
void channel_gate_gradient(const FeatureMap& x, const MapGradients& given, const void* maximum, void* grad, void* count,
                           const CpuRuntime& runtime);

// grad_x = grad_out·channel_gate·pixel_gate and what comes back through both poolings.
void map_gradient(const FeatureMap& x, const MapGradients& given, void* grad_x, const CpuRuntime& runtime);

}  // namespace fovea::kernels
