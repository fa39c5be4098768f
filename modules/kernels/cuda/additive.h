// Additive (Bahdanau) attention on a GPU, forward and backward, of float32, bfloat16 and float16. Keys and values are
// read once for each query, nothing of size N·M·a is written.
//
// Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2015,
// https://arxiv.org/abs/1409.0473
#pragma once

#include "fovea/modules/kernels/additive_call.h"
#include "fovea/modules/kernels/cuda/status.h"

namespace fovea::kernels::cuda {

// context [B,N,e] and weights [B,N,M] in the type of the call; scores [B,N,M] float32, −∞ where masked, kept for the
// backward pass. Masked keys and values are not read.
Status additive_forward(const AdditiveCall& call, void* context, void* weights, float* scores, Stream stream);

struct AdditiveGradients {
  const float* scores = nullptr;       // of additive_forward
  const void* grad_context = nullptr;  // [B,N,e]
  const void* grad_weights = nullptr;  // [B,N,M] or null
  float* weights = nullptr;            // [B,N,M], scratch
  float* grad_scores = nullptr;        // [B,N,M], scratch
  float* grad_v_of_queries = nullptr;  // [B·N,a], scratch
  void* grad_query = nullptr;          // [B,N,a], as the two that follow in the type of the call
  void* grad_key = nullptr;            // [B|1,M,a]
  void* grad_value = nullptr;          // [B|1,M,e]
  float* grad_v = nullptr;             // [a]
};

Status additive_backward(const AdditiveCall& call, const AdditiveGradients& gradients, Stream stream);

}  // namespace fovea::kernels::cuda
