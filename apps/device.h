// Where a model runs, and in which number type.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include "fovea/apps/common_options.h"

namespace fovea {

struct Runtime {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
};

// Of "bfloat16", "float16" and "float32".
at::ScalarType dtype_named(const std::string& name);

// Applies --device, --dtype and --threads. `cuda` asks for the driver first, then loads LibTorch's CUDA libraries, to
// which the program is not linked (they cost 0.2 s and 230 MB at every start). Throws Error(io) where there is no such
// device, Error(usage) for an unknown name and for float16 on a CPU.
Runtime select_runtime(const CommonOptions& options);

}  // namespace fovea
