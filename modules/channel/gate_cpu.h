// The CPU kernels of gates: pooling and scaling of a feature map, and their gradients.
#pragma once

#include <string>

#include "fovea/modules/channel/gated_map.h"

namespace fovea::gate_cpu {

// Why the kernels do not take x [B,C,h,w]; empty where they do.
std::string refuses(const at::Tensor& x);

const gated_map::Kernels& kernels();

}  // namespace fovea::gate_cpu
