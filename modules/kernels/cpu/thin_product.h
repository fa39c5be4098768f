// Few rows times weights that are read where they lie, and the step of an LSTM, which is such a product.
#pragma once

#include <array>

#include "fovea/modules/kernels/cpu/runtime.h"

namespace fovea::kernels {

// Of more rows a blocked product of packed weights is faster.
constexpr int64_t kThinRows = 6;

// x·Wᵀ; columns lie next to each other, strides of rows in numbers.
struct ThinFactor {
  const void* x = nullptr;       // [rows,width]
  const void* weight = nullptr;  // [outputs,width]
  int64_t width = 0;             // 0: this factor is not there
  int64_t x_row = 0;
  int64_t weight_row = 0;
};

struct ThinCall {
  Number type = Number::float32;  // of everything; sums are float32, or float64 where it is
  int64_t rows = 0;
  int64_t outputs = 0;
  std::array<ThinFactor, 2> factors;
  std::array<const void*, 2> biases = {};  // [outputs] or null
};

// y [rows,outputs] = Σ x·Wᵀ + Σ biases.
void thin_product(const ThinCall& call, void* y, const CpuRuntime& runtime);

// The outputs of the call, 4·state, are the gates i, f, g, o of torch's LSTM: next_memory = σ(f)·memory + σ(i)·tanh(g),
// hidden = σ(o)·tanh(next_memory); all [rows,state].
void lstm_step(const ThinCall& call, const void* memory, void* hidden, void* next_memory, const CpuRuntime& runtime);

}  // namespace fovea::kernels
