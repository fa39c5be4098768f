// What every method of explanation answers: one number for each cell of a grid over the network's input.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "fovea/modules/attention/recorder.h"

namespace fovea {

struct HeatMap {
  at::Tensor values;   // [h,w] float32 on the CPU; row 0 is the top; the grid spans the whole input of the network
  std::string method;  // "attention", "rollout", "spatial", …
  std::string layer;   // path of the module, "blocks.11.attn", or which layers were joined
  std::string detail;  // what was averaged or chosen: "mean of 12 heads, CLS row"
  std::string unit;    // what a value is, for the label of a colour bar: "attention weight"
};

// "attention, blocks.11.attn, mean of 12 heads, CLS row"
std::string describe(const HeatMap& map);

// The recorded map that a person means by `layer`: empty is the last of that kind, a number counts the maps of that
// kind from 0 in the order of the forward pass (−1 is the last), anything else is the path of the module or of a module
// that holds just one such map. Throws Error(usage) naming what was recorded when nothing or more than one fits.
const AttentionMap& select_map(const std::vector<AttentionMap>& maps, MapKind kind, const std::string& layer);

}  // namespace fovea
