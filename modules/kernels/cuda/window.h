// Attention in windows on a GPU, from the projection to the output in one kernel: float32, bfloat16 and float16, head
// widths to 128. The functions start kernels and return at once. The same call gives the same bits.
#pragma once

#include <cstddef>

#include "fovea/modules/kernels/cuda/status.h"
#include "fovea/modules/kernels/window_call.h"

namespace fovea::kernels::cuda {

// out [B,h,w,C], contiguous; log_sum [B,windows,H,W²] for the backward pass, null: not wanted. Needs no other memory.
Status window_forward(const WindowCall& call, void* out, float* log_sum, Stream stream);

struct WindowSaved {
  const void* out;  // of window_forward
  const float* log_sum;
};

// Bytes of device memory that window_backward needs as `workspace`.
size_t window_workspace(const WindowCall& call, const WindowGradients& gradients);

// Of the parts of grad_pad and grad_bias the first receives the whole sum; the others stay zeros.
Status window_backward(const WindowCall& call, const WindowSaved& saved, const WindowGradients& gradients,
                       void* workspace, Stream stream);

// grad_table [table_rows,H], float32, of the first part of grad_bias.
Status window_table_gradient(const WindowCall& call, const float* grad_bias, int64_t table_rows, float* grad_table,
                             Stream stream);

}  // namespace fovea::kernels::cuda
