// The gates of channel and spatial attention (SE, CBAM) of one layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/vision/explain/heat_map.h"

namespace fovea {

struct GateOptions {
  std::string layer;  // see select_map; the last unless given
  int64_t image = 0;  // index in the batch
};

// The spatial gate of CBAM, 0…1 a pixel of its features → [h,w]. Throws Error(usage) when none was recorded.
HeatMap spatial_gates(const std::vector<AttentionMap>& maps, const GateOptions& options = {});

// What a layer does to its channels on one image: there is no place in it, so it is drawn as bars.
struct ChannelGates {
  at::Tensor values;  // [C] float32 on the CPU, 0…1
  std::string layer;  // path of the module
};

// The channel gates of SE or CBAM. Throws Error(usage) when none were recorded.
ChannelGates channel_gates(const std::vector<AttentionMap>& maps, const GateOptions& options = {});

}  // namespace fovea
