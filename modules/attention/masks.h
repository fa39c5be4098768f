// Masks: bool, true = this query may attend to this key.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/modules/attention/attention.h"

namespace fovea {

// lengths int64 [B] → bool [B,1,1,M]: true before each length. Throws Error(data) unless 0 ≤ length ≤ keys.
at::Tensor length_mask(const at::Tensor& lengths, int64_t keys);

// ids [B,M] → bool [B,1,1,M]: true where the id is not `pad`. [5,8,1,0,0] with pad 0 → [1,1,1,0,0].
at::Tensor padding_mask(const at::Tensor& ids, int64_t pad);

// bool [N,M]: query i sees keys up to i (first) or up to i + M − N (last).
at::Tensor causal_mask(int64_t queries, int64_t keys, CausalAlign align, at::Device device);

// Both must allow; an undefined mask allows everything.
at::Tensor combine_masks(const at::Tensor& a, const at::Tensor& b);

}  // namespace fovea
