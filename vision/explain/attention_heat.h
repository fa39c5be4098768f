// The raw attention of one layer as a heat map.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/explain/heat_map.h"

namespace fovea {

struct AttentionHeatOptions {
  std::string layer = {};            // see select_map; the last unless given
  std::optional<int64_t> head = {};  // from 0; the mean of all heads unless given
  std::optional<int64_t> query =
      {};                  // whose row: a token, prefix tokens counted first (windows: a cell, in row order);
                           // unless given the CLS token, or the mean of all queries where there is no prefix
  int64_t image = 0;       // index in the batch
  bool gradients = false;  // max(0, A ⊙ ∂(logit)/∂A) in place of A; needs recorded gradients
};

// How strongly the query attends to each patch: maps of any model → [h,w] of its grid (of the stage, in Swin).
//
// Prefix tokens (CLS, distillation, registers) are dropped from the keys, so the values sum to less than 1. In windows
// the mean runs over the W² queries of the token's own window, so an evenly attending layer gives 1/W² everywhere; with
// `query` only the cells of that query's window are other than 0.
// A recorder needs the rows {0} alone for CLS, all rows for the mean.
// Throws Error(usage) when the maps hold no token attention, no such layer, head or query, or lack the rows needed.
HeatMap attention_heat(const std::vector<AttentionMap>& maps, const AttentionHeatOptions& options = {});

}  // namespace fovea
