// Attention rollout: attention followed through all layers to the patches.
// Abnar and Zuidema, Quantifying Attention Flow in Transformers, 2020, https://arxiv.org/abs/2005.00928
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fovea/vision/explain/heat_map.h"

namespace fovea {

enum class HeadFusion { mean, max, min };

struct RolloutOptions {
  HeadFusion fusion = HeadFusion::mean;  // how the heads of a layer become one matrix
  std::optional<int64_t> head = {};      // one head of every layer in place of their fusion, from 0
  double discard = 0.0;                  // share of the smallest weights of each layer set to 0, in [0,1)
  std::optional<int64_t> query = {};     // the token to follow, prefix tokens counted first; unless given CLS, or the
                                         // mean of all tokens, weighed by `answer`, where there is no prefix
  at::Tensor answer = {};                // as in FlowOptions
  int64_t image = 0;                     // index in the batch
  bool gradients = false;  // gradient rollout: max(0, A ⊙ ∂(logit)/∂A) in place of A; needs recorded gradients
};

// row(query) of Â_L·…·Â_1 with Â = (A + I)/row sums, A [N,N] the fused heads of a layer; prefix tokens dropped → [h,w]
// of the first layer's grid. Through Swin's windows and merged patches as flow.h says; every row sums to 1 there too.
// `maps` hold all rows of the self-attention of every layer, first layer first.
// Throws as follow_back does, and Error(usage) for a head that a layer has not.
HeatMap rollout(const std::vector<AttentionMap>& maps, const RolloutOptions& options = {});

}  // namespace fovea
