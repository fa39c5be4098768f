// Scores of a query against the offset to each key, rows and columns apart: q·(R_rows + R_columns).
#pragma once

#include <ATen/core/Tensor.h>

namespace fovea {

// Row of a table of 2·reach − 1 offsets for query i at i + start and key j, in 0…2·reach − 2; farther offsets share the
// outermost rows: int64 [queries,keys].
at::Tensor relative_rows(int64_t queries, int64_t keys, int64_t start, int64_t reach);

struct RelativeTables {
  at::Tensor height;        // [offsets,d], one row an offset between rows of the grid
  at::Tensor width;         // [offsets,d], between columns
  at::Tensor height_index;  // int64 [h,H]: of query row and key row
  at::Tensor width_index;   // int64 [w,W]
};

// q […,h·w,d] → […,h·w,H·W]: q_yx·height[height_index[y,Y]] + q_yx·width[width_index[x,X]].
// Bello et al., Attention Augmented Convolutional Networks, 2019, https://arxiv.org/abs/1904.09925
at::Tensor relative_scores(const at::Tensor& q, const RelativeTables& tables);

}  // namespace fovea
