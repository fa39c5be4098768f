#include "fovea/modules/kernels/cuda/window.h"
#include "fovea/modules/kernels/cuda/window_source.cuh"

namespace fovea::kernels::cuda {

Status window_forward(const WindowCall& call, void* out, float* log_sum, Stream stream) {
  return launch_forward<Windowed>(call.type, WindowPass{.call = call, .out = out, .log_sum = log_sum}, stream);
}

}  // namespace fovea::kernels::cuda
