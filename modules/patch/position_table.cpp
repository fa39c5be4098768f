#include "fovea/modules/patch/position_table.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

at::Tensor resample_position_table(const at::Tensor& table, const TokenGrid& from, const TokenGrid& to) {
  const int64_t tokens = from.prefix + from.height * from.width;
  require(table.dim() == 3 && table.size(0) == 1 && table.size(1) == tokens, ErrorKind::data,
          "resample_position_table: expected [1,{},D], got {}", tokens, shape_text(table));
  require(from.prefix == to.prefix, ErrorKind::data, "resample_position_table: prefix {} cannot become {}", from.prefix,
          to.prefix);
  require(to.height > 0 && to.width > 0, ErrorKind::data, "resample_position_table: grid {}x{} is empty", to.height,
          to.width);
  if (from.height == to.height && from.width == to.width) return table;
  const int64_t width = table.size(2);
  auto grid = table.narrow(1, from.prefix, from.height * from.width).to(at::kFloat);
  grid = grid.reshape({1, from.height, from.width, width}).permute({0, 3, 1, 2});  // [1,D,h,w]
  grid = at::_upsample_bicubic2d_aa(grid, {to.height, to.width}, /*align_corners=*/false);
  grid = grid.permute({0, 2, 3, 1}).reshape({1, to.height * to.width, width}).to(table.scalar_type());
  return to.prefix == 0 ? grid : at::cat({table.narrow(1, 0, to.prefix), grid}, 1);
}

}  // namespace fovea
