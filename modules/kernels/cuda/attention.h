// Attention on a GPU: float32, bfloat16 and float16, head widths to 128. The functions start kernels and return at
// once. Every result has one order of sums: the same call gives the same bits.
#pragma once

#include <cstddef>

#include "fovea/modules/kernels/attention_call.h"
#include "fovea/modules/kernels/cuda/status.h"

namespace fovea::kernels::cuda {

// out [B,H,N,e]; log_sum [B,H,N], contiguous: log Σ exp(score), −∞ where every key is masked; null: not wanted.
Status attention_forward(const AttentionCall& call, const MutableView& out, float* log_sum, Stream stream);

// Bytes of device memory that attention_backward needs as `workspace`: O(N), and where a bias that is broadcast has a
// gradient, some parts of it.
size_t attention_workspace(const AttentionCall& call, const AttentionGradients& gradients);

Status attention_backward(const AttentionCall& call, const AttentionGradients& gradients, void* workspace,
                          Stream stream);

// The same result as attention_forward for few rows and many keys, which are split over the chip and merged. Without
// dropout. For beams of an image make the beams queries of one image: its keys are not copied.
size_t decode_workspace(const AttentionCall& call);
Status attention_decode(const AttentionCall& call, const MutableView& out, float* log_sum, void* workspace,
                        Stream stream);

// Weights of the rows `queries` [n], indices on the device: weights [B,H,n,M], float32, or the mean of the heads
// [B,n,M]. Without dropout; values are not read.
Status attention_rows(const AttentionCall& call, const int64_t* queries, int64_t count, bool mean_of_heads,
                      float* weights, Stream stream);

}  // namespace fovea::kernels::cuda
