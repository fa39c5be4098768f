// What the glue of every CPU kernel shares: LibTorch's threads and types, and tensors as the kernels see them.
#pragma once

#include <string>

#include "fovea/modules/attention/kernel_tensors.h"
#include "fovea/modules/kernels/cpu/attention.h"

namespace fovea::cpu {

using namespace kernel_tensors;

kernels::CpuRuntime runtime();

// What the kernels of every device multiply weights of these sizes […,N,M] with when they draw from this seed: 0 or
// 1/(1 − dropout), on the device of `like` and in its type. Undefined without dropout.
at::Tensor dropout_factors(double dropout, uint64_t seed, at::IntArrayRef sizes, const at::Tensor& like);

// Why no kernel takes this tensor: another device, type or chip; empty where they do.
std::string refuses(const at::Tensor& t);

}  // namespace fovea::cpu
