// vᵀ·tanh(query + key), softmax and context in one pass over the keys and one over the values, and the gradients.
//
// Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2015,
// https://arxiv.org/abs/1409.0473
#pragma once

#include "fovea/modules/kernels/additive_call.h"
#include "fovea/modules/kernels/cpu/runtime.h"

namespace fovea::kernels {

// context [B,N,e] and weights [B,N,M], contiguous, in the type of the call. Masked keys and values are not read.
void additive_forward(const AdditiveCall& call, void* context, void* weights, const CpuRuntime& runtime);

struct AdditiveGradients {
  const void* weights = nullptr;       // [B,N,M] of additive_forward, in the type of the call, as the two that follow
  const void* grad_context = nullptr;  // [B,N,e]
  const void* grad_weights = nullptr;  // [B,N,M] or null
  void* grad_query = nullptr;          // [B,N,a], as the two that follow in the type of the call
  void* grad_key = nullptr;            // [B|1,M,a], contiguous: the sum over the batches that share it
  void* grad_value = nullptr;          // [B|1,M,e]
  void* grad_v = nullptr;              // [a], in the type of the sums
};

// The gradients of masked keys and values are 0.
void additive_backward(const AdditiveCall& call, const AdditiveGradients& gradients, const CpuRuntime& runtime);

}  // namespace fovea::kernels
