// The attention core: the one function that every layer of token attention calls.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <optional>
#include <string>

#include "fovea/modules/attention/position_encoding.h"

namespace fovea {

// Where the causal diagonal of N queries and M keys ends when N differs from M.
enum class CausalAlign {
  last,   // the last query sees every key (decoding with a cache); the default
  first,  // query i sees keys 0…i (PyTorch's scaled_dot_product_attention)
};

// What dropout does to the probabilities of a row.
enum class DropoutMode {
  scale,        // kept ones are divided by 1 − p, so that the expectation stays; the default
  renormalise,  // kept ones are divided by their sum
  keys,         // whole keys are masked before the softmax, the same ones for all heads and queries of an image
};

struct AttentionArgs {
  std::optional<double> scale;  // factor of q·k, 1/√d unless given
  at::Tensor mask;              // bool, true = attend: [N,M], [B,N,M] or [B|1,H|1,N|1,M]
  at::Tensor key_lengths;       // int64 [B], keys from this index on are masked
  at::Tensor bias;              // floating, added to the scores: [N,M], [H,N,M] or [B|1,H|1,N|1,M]. −1e9 for a mask
                                // stays a number, but overflows to −∞, which masks, where q is float16
  bool causal = false;          // mask keys after the query
  CausalAlign causal_align = CausalAlign::last;
  double dropout = 0.0;                       // on the probabilities, as dropout_mode says; 0 in evaluation
  const torch::nn::Module* module = nullptr;  // the calling layer, so that a recorder can name its maps
  std::string backend;                        // run this row of the table or throw; empty: the first that accepts
  DropoutMode dropout_mode = DropoutMode::scale;
  const PositionEncoding* position = nullptr;  // rotates q and k, or gives a bias that is added to `bias`
  PositionArgs places = {};                    // of queries and keys, for `position`
};

// softmax(q·kᵀ·scale + bias, over the keys that are not masked)·v.
//
// q [B,H,N,d], k [B,K,M,d], v [B,K,M,e] → [B,H,N,e], where K divides H (grouped-query heads). A score of −∞ in `bias`
// masks like `mask` does. A query whose keys are all masked gives zeros and finite gradients; NaN or infinity in masked
// keys and values has no effect. Only mask and bias broadcast.
// Throws Error(data) naming both shapes when they disagree, and when `mask` is not bool.
// Vaswani et al., Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionArgs& args = {});

// One line a backend: its name, and either "runs" (for the first that accepts), "could run" or why it refuses.
std::string explain_backend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionArgs& args = {});

}  // namespace fovea
