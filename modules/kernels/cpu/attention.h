// Attention in blocks, and its gradients.
#pragma once

#include "fovea/modules/kernels/attention_call.h"
#include "fovea/modules/kernels/cpu/runtime.h"

namespace fovea::kernels {

// out [B,H,N,e]; log_sum [B,H,N], contiguous, in the type of the sums: log Σ exp(score), −∞ where every key is masked;
// null: not wanted. Sizes are positive.
void attention_forward(const AttentionCall& call, const MutableView& out, void* log_sum, const CpuRuntime& runtime);

void attention_backward(const AttentionCall& call, const AttentionGradients& gradients, const CpuRuntime& runtime);

}  // namespace fovea::kernels
