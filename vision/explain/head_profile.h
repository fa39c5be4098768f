// What each head of a network does on one image, and which of them look ill.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/modules/attention/diagnostics.h"
#include "fovea/modules/attention/recorder.h"

namespace fovea {

struct HeadProfile {
  double entropy = 0;    // normalised, mean over queries: 0 looks at one key, 1 at all alike
  double distance = 0;   // pixels between a patch and those it looks at, weighted mean; NaN where there are none
  double first = 0;      // weight that patches give the CLS token; NaN where there is none
  double registers = 0;  // … the other prefix tokens: registers, distillation; NaN where there are none
  double saturated = 0;  // share of rows in which one of several keys has more than 0.999
  HeadClass kind = HeadClass::mixed;
  bool idle = false;  // see HeadReport
  std::optional<int64_t> twin;
};

struct LayerProfile {
  std::string path;
  TokenGrid grid;
  int64_t window = 0;  // tokens of its side, as in AttentionMap
  double even_distance =
      0;               // what the distance would be if every patch looked at all it may alike; NaN without patches
  bool finite = true;  // false: the weights hold NaN or infinity, and the numbers of its heads mean nothing
  std::vector<HeadProfile> heads;
};

// One profile a layer of token attention, in the order of the forward pass; other maps are passed over. The maps hold
// all rows of one image of height × width pixels. In windows distances are those between places of one window, and keys
// that the shift mask takes away do not count in the entropy.
// Dosovitskiy et al., An Image is Worth 16x16 Words, 2021 (attention distance), https://arxiv.org/abs/2010.11929
// Throws Error(usage) where there is no token attention or a map lacks rows.
std::vector<LayerProfile> profile_heads(const std::vector<AttentionMap>& maps, int64_t height, int64_t width);

// What to look into, one line each: NaN, saturated heads (more than half of the rows), idle heads, twins.
std::vector<std::string> health_warnings(const std::vector<LayerProfile>& layers);

}  // namespace fovea
