// vᵀ·tanh(query + key), softmax and context in one pass over the keys and one over the values.
//
// Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2015,
// https://arxiv.org/abs/1409.0473
#pragma once

#include "fovea/modules/kernels/cpu/runtime.h"

namespace fovea::kernels {

struct AdditiveCall {
  Number type = Number::float32;  // of everything but the mask; sums are float32, or float64 where it is
  int64_t batch = 0;              // B
  int64_t queries = 0;            // N
  int64_t keys = 0;               // M
  int64_t width = 0;              // a
  int64_t value_width = 0;        // e
  // Contiguous but for the batch strides, 0 where one serves all.
  const void* query = nullptr;    // [B,N,a]
  const void* key = nullptr;      // [B|1,M,a]
  const void* value = nullptr;    // [B|1,M,e]
  const void* v = nullptr;        // [a]
  const uint8_t* mask = nullptr;  // [B|1,M], 0 masks; null: none
  int64_t key_batch = 0;
  int64_t value_batch = 0;
  int64_t mask_batch = 0;
};

// context [B,N,e] and weights [B,N,M], contiguous, in the type of the call. Masked keys and values are not read.
void additive_forward(const AdditiveCall& call, void* context, void* weights, const CpuRuntime& runtime);

}  // namespace fovea::kernels
