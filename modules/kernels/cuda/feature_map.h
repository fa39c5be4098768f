// What gates of feature maps compute on a GPU, forward and backward; the maps are float32, bfloat16 or float16, all
// else is float32. The functions start kernels and return at once.
#pragma once

#include <cstddef>

#include "fovea/modules/kernels/cuda/status.h"
#include "fovea/modules/kernels/feature_map.h"

namespace fovea::kernels::cuda {

// Bytes of device memory that a function below needs as `workspace` for this map; may be 0.
size_t pooling_workspace(const FeatureMap& x, bool over_pixels);

// mean [B,C] and largest [B,C] over pixels; largest null: not wanted.
Status pool_pixels(const FeatureMap& x, float* mean, float* largest, void* workspace, Stream stream);

// mean [B,P] and largest [B,P] over channels of x·gate, gate [B,C] or null.
Status pool_channels(const FeatureMap& x, const float* gate, float* mean, float* largest, void* workspace,
                     Stream stream);

// out = x·channel_gate·pixel_gate in the layout and type of x; either gate may be null.
Status scale_map(const FeatureMap& x, const float* channel_gate, const float* pixel_gate, void* out, Stream stream);

// grad [B,P] of the pixel gate: Σ_c grad_out·x·channel_gate. Where the maxima [B,P] of pool_channels are given, `count`
// receives how many channels share them, for PooledGradient.
Status pixel_gate_gradient(const FeatureMap& x, const MapGradients& given, const float* maximum, float* grad,
                           float* count, void* workspace, Stream stream);

// grad [B,C] of the channel gate: Σ_p x·(grad_out·pixel_gate + what comes back through over_channels, where that saw
// the gate), and `count` of the maxima [B,C] of pool_pixels.
Status channel_gate_gradient(const FeatureMap& x, const MapGradients& given, const float* maximum, float* grad,
                             float* count, void* workspace, Stream stream);

// grad_x = grad_out·channel_gate·pixel_gate and what comes back through both poolings.
Status map_gradient(const FeatureMap& x, const MapGradients& given, void* grad_x, Stream stream);

}  // namespace fovea::kernels::cuda
