// Attention under a sparse pattern, computed for the blocks of keys that hold any of it.
#pragma once

#include <torch/nn/module.h>

#include <optional>

#include "fovea/modules/sparse/pattern.h"

namespace fovea {

// A pattern cut into blocks of queries and keys: made once, used in every call.
class SparseLayout {
 public:
  // Throws Error(usage) for a block that is not positive.
  explicit SparseLayout(SparsityPattern pattern, int64_t block = 64);

  // Blocks of queries that see the same number of blocks of keys, run together.
  struct Group {
    at::Tensor queries;  // int64 [G], numbers of the blocks
    at::Tensor keys;     // int64 [G,n]
    at::Tensor allowed;  // bool [G,b,n·b]; undefined: all
  };

  const SparsityPattern& pattern() const { return pattern_; }
  int64_t block() const { return block_; }
  const std::vector<Group>& groups() const { return groups_; }
  int64_t blocks() const;  // pairs of blocks that are computed

  void to(at::Device device);
  std::vector<at::Tensor*> tables();  // of a layer that holds one: Module::to moves them

 private:
  SparsityPattern pattern_;
  int64_t block_;
  std::vector<Group> groups_;
};

struct SparseAttentionArgs {
  std::optional<double> scale = {};           // factor of q·k, 1/√d unless given
  at::Tensor key_mask = {};                   // bool [B,M], true = may be attended to
  const torch::nn::Module* module = nullptr;  // the calling layer, so that a recorder can name its maps
};

// attention(q, k, v) under layout.pattern().mask(): q [B,H,N,d], k [B,H,M,d], v [B,H,M,e] → [B,H,N,e]. Time and memory
// follow layout.blocks(). A query without keys gives zeros; NaN or infinity in keys and values that `key_mask` forbids
// has no effect. Throws Error(data) naming the shapes that disagree.
at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const SparseLayout& layout,
                            const SparseAttentionArgs& args = {});

}  // namespace fovea
