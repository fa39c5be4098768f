// A learned vector for each place of the image, so that a decoder can say where things are.
#pragma once

#include <ATen/core/Tensor.h>

namespace fovea {

// [places,E], what the table starts as: sinusoids of row and column where the places are a square grid and 4 divides E,
// else small noise.
at::Tensor place_table(int64_t places, int64_t memory_dim);

// memory [B,M,E] + table [M,E]; memory itself for an undefined table. Throws Error(data) for a memory of another width
// or, with a table, of another number of places; `who` begins the message.
at::Tensor at_places(const char* who, const at::Tensor& memory, int64_t memory_dim, const at::Tensor& table);

}  // namespace fovea
