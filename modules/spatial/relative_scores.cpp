#include "fovea/modules/spatial/relative_scores.h"

#include <ATen/ATen.h>

namespace fovea {

at::Tensor relative_rows(int64_t queries, int64_t keys, int64_t start, int64_t reach) {
  const auto offsets = at::arange(keys, at::kLong) - (at::arange(queries, at::kLong) + start).unsqueeze(1);
  return (offsets + reach - 1).clamp(0, 2 * reach - 2);
}

at::Tensor relative_scores(const at::Tensor& q, const RelativeTables& tables) {
  const int64_t h = tables.height_index.size(0), H = tables.height_index.size(1);
  const int64_t w = tables.width_index.size(0), W = tables.width_index.size(1);
  const auto grid = q.reshape({-1, h, w, q.size(-1)});                   // [n,h,w,d]
  const auto rows = at::embedding(tables.height, tables.height_index);   // [h,H,d]
  const auto columns = at::embedding(tables.width, tables.width_index);  // [w,W,d]
  const auto by_row = at::einsum("nyxd,yYd->nyxY", {grid, rows});
  const auto by_column = at::einsum("nyxd,xXd->nyxX", {grid, columns});
  auto shape = q.sizes().vec();
  shape.back() = H * W;
  return (by_row.unsqueeze(-1) + by_column.unsqueeze(-2)).reshape(shape);
}

}  // namespace fovea
