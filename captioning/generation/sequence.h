// What the ways of generating share.
#pragma once

#include <ATen/core/Generator.h>

#include "fovea/captioning/generation/generate.h"

namespace fovea {

std::vector<std::vector<Generated>> beam_search(const StepFunction& step, const at::Tensor& prompt,
                                                const GenerationOptions& options);

// Each row for itself: greedy, or by draws.
std::vector<std::vector<Generated>> generate_rows(const StepFunction& step, const at::Tensor& prompt,
                                                  const GenerationOptions& options);

// One step's logits as float32 on the CPU; with `copies`, each row that often (after the first step, which is given
// one row an image). Throws Error(data) for another shape, Error(numeric) for NaN.
at::Tensor run_step(const StepFunction& step, const StepInput& input, int64_t copies = 1);

// [0,0,…,1,1,…]: `copies` rows of each of `count`.
at::Tensor repeated_rows(int64_t count, int64_t copies);

at::Generator seeded_generator(uint64_t seed);

}  // namespace fovea
