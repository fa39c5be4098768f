// Additive attention: one decoder state looks over annotated positions.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <string>

namespace fovea {

struct AdditiveAttentionArgs {
  at::Tensor mask;                            // bool [B,M] or [1,M], true = attend
  const torch::nn::Module* module = nullptr;  // the calling layer, so that a recorder can name its maps
  std::string backend;                        // as in AttentionArgs
  bool relu = false;                          // e_ij = vᵀ·relu(query_i + key_j)
};

struct AdditiveAttentionResult {
  at::Tensor context;  // [B,N,e]
  at::Tensor weights;  // [B,N,M]
};

// e_ij = vᵀ·tanh(query_i + key_j), softmax over j, context = Σ_j a_ij·value_j.
//
// query [B,N,a] = W·s and keys [B,M,a] = U·h, already projected (keys once a sequence), values [B|1,M,e], v [a]. A
// batch of 1 in keys and values is shared by all queries' batches (beams of one image). A fully masked row gives zeros;
// NaN or infinity in masked keys and values has no effect. Throws Error(data) naming the shapes that disagree. Bahdanau
// et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2015, https://arxiv.org/abs/1409.0473
AdditiveAttentionResult additive_attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                                           const at::Tensor& v, const AdditiveAttentionArgs& args = {});

// One line a backend: its name, and either "runs" (for the first that accepts), "could run" or why it refuses.
std::string explain_additive_backend(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                                     const at::Tensor& v, const AdditiveAttentionArgs& args = {});

}  // namespace fovea
