#include "fovea/modules/patch/position_table.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

at::Tensor resample_grid(const at::Tensor& grid, int64_t height, int64_t width, TableResampling resampling) {
  const at::Tensor wide = grid.to(at::kFloat);
  const at::Tensor resampled =
      resampling == TableResampling::antialiased
          ? at::_upsample_bicubic2d_aa(wide, {height, width}, /*align_corners=*/false)
          : at::upsample_bicubic2d(wide, {height, width}, /*align_corners=*/resampling == TableResampling::corners);
  return resampled.to(grid.scalar_type());
}

at::Tensor resample_position_table(const at::Tensor& table, const TokenGrid& from, const TokenGrid& to,
                                   TableResampling resampling) {
  const int64_t tokens = from.prefix + from.height * from.width;
  require(table.dim() == 3 && table.size(0) == 1 && table.size(1) == tokens, ErrorKind::data,
          "resample_position_table: expected [1,{},D], got {}", tokens, shape_text(table));
  require(from.prefix == to.prefix, ErrorKind::data, "resample_position_table: prefix {} cannot become {}", from.prefix,
          to.prefix);
  require(to.height > 0 && to.width > 0, ErrorKind::data, "resample_position_table: grid {}x{} is empty", to.height,
          to.width);
  if (from.height == to.height && from.width == to.width) return table;
  const int64_t width = table.size(2);
  auto grid = table.narrow(1, from.prefix, from.height * from.width);
  grid = grid.reshape({1, from.height, from.width, width}).permute({0, 3, 1, 2});  // [1,D,h,w]
  grid = resample_grid(grid, to.height, to.width, resampling);
  grid = grid.permute({0, 2, 3, 1}).reshape({1, to.height * to.width, width});
  return to.prefix == 0 ? grid : at::cat({table.narrow(1, 0, to.prefix), grid}, 1);
}

}  // namespace fovea
