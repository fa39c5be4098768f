// Which patches spoke for a class: attention weighed by its gradient.
// Chefer, Gur and Wolf, Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
// Transformers, 2021, https://arxiv.org/abs/2103.15679
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/explain/heat_map.h"

namespace fovea {

struct RelevanceOptions {
  std::optional<int64_t> query = {};  // as in RolloutOptions
  at::Tensor answer = {};             // as in FlowOptions
  int64_t image = 0;                  // index in the batch
};

// max(0, A ⊙ ∂(logit)/∂A) of one image, a number a head and pair of tokens: [H,n,M], or [windows,H,W²,W²].
// Throws Error(usage) when the map carries no gradient (RecorderOptions::gradients, then backward).
at::Tensor gradient_attention(const AttentionMap& map, int64_t image);

// R ← R + Ā·R from the first layer to the last, Ā the mean over heads of gradient_attention; the row of CLS (where
// there is no prefix the mean of all rows, weighed by `answer`), without what tokens keep of themselves → [h,w] of the
// first layer's grid.
// In Swin the same along windows and merged patches (flow.h); the published method stops at plain transformers.
// `maps` hold all rows and gradients of every layer, first layer first. Throws as follow_back and gradient_attention
// do.
HeatMap relevance(const std::vector<AttentionMap>& maps, const RelevanceOptions& options = {});

}  // namespace fovea
