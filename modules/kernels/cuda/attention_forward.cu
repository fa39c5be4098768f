#include "fovea/modules/kernels/cuda/attention.cuh"
#include "fovea/modules/kernels/cuda/attention.h"

namespace fovea::kernels::cuda {

Status attention_forward(const AttentionCall& call, const MutableView& out, float* log_sum, Stream stream) {
  return launch_forward<Dense>(call.type, DenseCall{.call = call, .out = out, .log_sum = log_sum}, stream);
}

}  // namespace fovea::kernels::cuda
