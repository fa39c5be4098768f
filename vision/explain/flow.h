// Attention followed from the answer back to the input, through layers, windows and merged patches: what rollout and
// relevance share. Each layer is a matrix M = A + I between tokens, A what the method makes of its heads, and the
// answer's row r goes r ← r·M from the last layer down. Only that row is ever held: N² numbers a layer, not N³
// products.
//
// Windows apply M block by block to the tokens that stand in them; what A gives to padding is lost. Where patches were
// merged, a token's share goes in equal parts to the 2×2 tokens it was made of (fewer at an odd border).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/explain/heat_map.h"

namespace fovea {

struct FlowOptions {
  const char* method = "";            // for messages
  std::optional<int64_t> query = {};  // the token to start from, prefix tokens counted first, on the last grid; unless
                                      // given CLS, or `answer` where there is no prefix
  at::Tensor answer = {};             // [h·w] of the last grid, sums to 1: what part of the answer each token gave;
                                      // undefined: equal parts
  int64_t image = 0;                  // index in the batch
  bool normalise = true;              // rows of M sum to 1
  std::string from = {};              // see select_map: the last layer to count; the last of all unless given
};

struct Flow {
  at::Tensor row;     // [h,w] float64 on the CPU, of the first layer's grid, prefix tokens dropped
  at::Tensor direct;  // the same of the identities alone: what a token keeps of itself
  int64_t layers = 0;
  std::string start;  // "CLS row", "mean of queries", "rows that answer", "row of token 5"
};

// `fuse` makes A of one image: weights [H,N,N] → [N,N], or of windows [windows,H,W²,W²] → [windows,W²,W²].
// Throws Error(usage) where the maps hold no token attention, lack rows, or have no such image or query; Error(data)
// where the tokens of two layers, or of the last and the answer, have nothing to do with each other.
Flow follow_back(const std::vector<AttentionMap>& maps,
                 const std::function<at::Tensor(const AttentionMap&, const at::Tensor& weights)>& fuse,
                 const FlowOptions& options);

// The part of a map's batch that belongs to one image, float32 on the CPU: [H,n,M], or [windows,H,W²,W²].
// Throws Error(usage) "image 3: the batch of blocks.0.attn has images 0…1".
at::Tensor of_image(const AttentionMap& map, const at::Tensor& values, int64_t image);

}  // namespace fovea
