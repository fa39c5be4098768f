// What the glue of every CPU kernel shares: LibTorch's threads and types, and tensors as the kernels see them.
#pragma once

#include <string>

#include "fovea/modules/attention/kernel_tensors.h"
#include "fovea/modules/kernels/cpu/attention.h"

namespace fovea::cpu {

using namespace kernel_tensors;

kernels::CpuRuntime runtime();

// Why no kernel takes this tensor: another device, type or chip; empty where they do.
std::string refuses(const at::Tensor& t);

}  // namespace fovea::cpu
