// What generation does to scores before it chooses.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/captioning/generation/generate.h"

namespace fovea {

// Repetition penalty, n-gram ban and minimum length, in this order. scores [R,V] float32, tokens int64 [R,n] so far.
at::Tensor penalised(const at::Tensor& scores, const at::Tensor& tokens, const GenerationOptions& options);

// Temperature, top-k and top-p, in this order; at least `least` tokens of each row stay possible.
at::Tensor warped(const at::Tensor& scores, const GenerationOptions& options, int64_t least);

struct Best {
  at::Tensor values;  // [R,count] float32
  at::Tensor places;  // [R,count] int64
};

// at::topk of each row of scores [R,V] float32 on the CPU, contiguous, equal values in the order that at::topk gives
// them, in a fraction of its time where V is much larger than count.
Best best_of(const at::Tensor& scores, int64_t count);

}  // namespace fovea
