// What generation does to scores before it chooses.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/captioning/generation/generate.h"

namespace fovea {

// Repetition penalty, n-gram ban and minimum length, in this order. scores [R,V] float32, tokens int64 [R,n] so far.
at::Tensor penalised(const at::Tensor& scores, const at::Tensor& tokens, const GenerationOptions& options);

// Temperature, top-k and top-p, in this order; at least `least` tokens of each row stay possible.
at::Tensor warped(const at::Tensor& scores, const GenerationOptions& options, int64_t least);

}  // namespace fovea
