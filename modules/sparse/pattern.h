// Which keys each query may attend to, where that is few of them: the patterns of the literature, their unions and
// intersections, on a line or on a grid.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace fovea {

// For each query the keys it sees, in ascending order. Memory follows the pairs that are there.
class SparsityPattern {
 public:
  // rows[i] are the keys of query i, in any order. Throws Error(usage) for keys outside 0…keys−1.
  SparsityPattern(int64_t keys, std::vector<std::vector<int64_t>> rows);

  int64_t queries() const { return static_cast<int64_t>(rows_.size()); }
  int64_t keys() const { return keys_; }
  int64_t pairs() const;
  const std::vector<int64_t>& row(int64_t query) const { return rows_[static_cast<size_t>(query)]; }

  at::Tensor mask() const;  // bool [N,M], true = attend

  // Pairs that are in either, or in both. Throws Error(usage) for two sizes.
  SparsityPattern operator|(const SparsityPattern& other) const;
  SparsityPattern operator&(const SparsityPattern& other) const;

 private:
  int64_t keys_;
  std::vector<std::vector<int64_t>> rows_;
};

// Every query sees the keys up to itself.
SparsityPattern causal_pattern(int64_t tokens);

// Keys within `half` steps on each side, a step `dilation` tokens.
// Beltagy et al., Longformer, 2020, https://arxiv.org/abs/2004.05150
SparsityPattern sliding_pattern(int64_t tokens, int64_t half, int64_t dilation = 1);

// These tokens see all and are seen by all; the others see them alone.
SparsityPattern global_pattern(int64_t tokens, const std::vector<int64_t>& chosen);

// Every query sees `count` keys drawn without replacement, the same for one seed.
SparsityPattern random_pattern(int64_t tokens, int64_t count, uint64_t seed);

struct BigBirdOptions {
  int64_t block = 64;         // tokens
  int64_t window_blocks = 3;  // odd: those around the query's own
  int64_t global_blocks = 1;  // the first ones
  int64_t random_blocks = 3;  // for each block of queries
  uint64_t seed = 0;
};

// Zaheer et al., Big Bird, 2020, https://arxiv.org/abs/2007.14062
SparsityPattern big_bird_pattern(int64_t tokens, const BigBirdOptions& options = {});

// The two causal factors of Sparse Transformer, each a pattern of its own for half of the heads, or their union for
// all: the last `stride` keys, with every stride-th key before (strided) … Child et al., Generating Long Sequences with
// Sparse Transformers, 2019, https://arxiv.org/abs/1904.10509
SparsityPattern strided_pattern(int64_t tokens, int64_t stride);
// … or the keys of the query's own block of `stride`, with the last `summary` keys of every block before (fixed).
SparsityPattern fixed_pattern(int64_t tokens, int64_t stride, int64_t summary = 1);

// Tokens of a grid in row order that see those within `half` rows and columns.
SparsityPattern grid_pattern(int64_t height, int64_t width, int64_t half);

}  // namespace fovea
