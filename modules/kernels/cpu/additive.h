// vᵀ·tanh(query + key), softmax and context in one pass over the keys and one over the values.
//
// Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2015,
// https://arxiv.org/abs/1409.0473
#pragma once

#include "fovea/modules/kernels/additive_call.h"
#include "fovea/modules/kernels/cpu/runtime.h"

namespace fovea::kernels {

// context [B,N,e] and weights [B,N,M], contiguous, in the type of the call. Masked keys and values are not read.
void additive_forward(const AdditiveCall& call, void* context, void* weights, const CpuRuntime& runtime);

}  // namespace fovea::kernels
