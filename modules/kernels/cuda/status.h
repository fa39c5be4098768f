// What the functions that start CUDA kernels take and give back, for callers that know nothing of CUDA.
#pragma once

namespace fovea::kernels::cuda {

using Stream = void*;  // a cudaStream_t; null: the default one

// Null: started. Else why not. Kernels run on their own, so what goes wrong inside shows at the next synchronisation.
using Status = const char*;

}  // namespace fovea::kernels::cuda
