// vᵀ·tanh(query + key), or relu in place of tanh, softmax and context: what the kernels of every device are told.
#pragma once

#include "fovea/modules/kernels/number.h"

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
  bool relu = false;  // in place of tanh: the forward pass on the CPU alone
};

}  // namespace fovea::kernels
