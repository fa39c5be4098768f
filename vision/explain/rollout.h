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
                                         // mean of all tokens where there is no prefix
  int64_t image = 0;                     // index in the batch
};

// row(query) of Â_L·…·Â_1 with Â = (A + I)/row sums, A [N,N] the fused heads of a layer; prefix tokens dropped → [h,w].
// `maps` hold all rows of the self-attention of every layer, first layer first.
// Throws Error(usage) when the maps hold no token attention, attend within windows (their tokens change from stage to
// stage), or lack rows; Error(data) when the layers differ in their tokens.
HeatMap rollout(const std::vector<AttentionMap>& maps, const RolloutOptions& options = {});

}  // namespace fovea
