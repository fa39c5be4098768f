// Attention over a sequence that is split among processes.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <optional>

#include "fovea/modules/parallel/process_group.h"

namespace fovea {

struct RingAttentionArgs {
  std::optional<double> scale = {};           // factor of q·k, 1/√d unless given
  at::Tensor key_mask = {};                   // bool [B,m], of this process's keys, true = may be attended to
  bool causal = false;                        // mask keys after the query; every process then has as many of both
  const torch::nn::Module* module = nullptr;  // the calling layer, so that a recorder can name its maps
};

// The rows of softmax(q·kᵀ·scale, over the keys of all processes that are not masked)·v that belong to this process.
//
// Process r holds a stretch of the sequence, in the order of the ranks and of any length, also none: q [B,H,n,d], k
// [B,K,m,d], v [B,K,m,e] with K dividing H → [B,H,n,e]. Every process of the group calls it, and calls backward, the
// same number of times in the same order. Blocks of keys and values go round a ring: in round t process r has those of
// process r − t, while the ones after are on their way; what they give is joined by log Σ exp(score). No process holds
// more than two blocks, nor n×m scores where the CPU's kernel runs. In backward the gradients of a block go round with
// it and end at home. There are no gradients of gradients.
//
// Query without keys: zeros. NaN or infinity in masked keys and values has no effect. A recorder gets the rows of this
// process against all M keys, [B,H,n,M], but no gradients. Throws, in every process, Error(data) naming the process
// whose call differs in batch, heads, widths, type, mask or causality, or the one whose call is wrong in itself;
// Error(io) where a process is gone.
// Liu et al., Ring Attention with Blockwise Transformers for Near-Infinite Context, 2023,
// https://arxiv.org/abs/2310.01889
at::Tensor ring_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ProcessGroup& group,
                          const RingAttentionArgs& args = {});

// Whose block process `rank` of `size` has in a round.
constexpr int64_t ring_owner(int64_t rank, int64_t round, int64_t size) {
  return (rank + size - round % size) % size;
}

}  // namespace fovea
