// Heads side by side in the columns of one tensor, and apart.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace fovea {

// x [B,N,parts·H·d] → `parts` views [B,H,N,d] of its buffer.
std::vector<at::Tensor> split_heads(const at::Tensor& x, int64_t parts, int64_t heads);

// x [B,H,N,d] → [B,N,H·d].
at::Tensor join_heads(const at::Tensor& x);

}  // namespace fovea
