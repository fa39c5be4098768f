// How attention hands its weights to a recorder.
#pragma once

#include <ATen/ATen.h>

#include "fovea/modules/attention/recorder.h"

namespace fovea::recording {

// weights [B,H,n,M]: the rows that the recorder keeps of those that made output [B,H,N,e] = weights·v, v [B,K,M,e] with
// K dividing H. Where it wants gradients, backward through output fills in d(loss)/d(weights) = dO·Vᵀ.
inline void add_weights(const torch::nn::Module* module, const at::Tensor& weights, const at::Tensor& output,
                        const at::Tensor& v) {
  const auto rows = queries();
  const size_t index = add(module, MapKind::tokens, weights, rows);
  if (!gradients(module) || !output.requires_grad()) return;
  const auto values = v.detach().repeat_interleave(output.size(1) / v.size(1), 1);
  add_gradient(index, output, [values, rows](const at::Tensor& grad) {
    const auto kept = rows.empty() ? grad : grad.index_select(2, at::tensor(rows, grad.options().dtype(at::kLong)));
    return at::matmul(kept, values.transpose(-2, -1));
  });
}

}  // namespace fovea::recording
