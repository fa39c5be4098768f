// Attention in windows, from the projection to the output in one pass, and its gradients.
#pragma once

#include "fovea/modules/kernels/cpu/runtime.h"
#include "fovea/modules/kernels/window_call.h"

namespace fovea::kernels {

// out [B,h,w,C], contiguous. Allocates nothing.
void window_forward(const WindowCall& call, void* out, const CpuRuntime& runtime);

void window_backward(const WindowCall& call, const WindowGradients& gradients, const CpuRuntime& runtime);

}  // namespace fovea::kernels
