#include "fovea/modules/window/partition.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

at::Tensor pad(const at::Tensor& x, const WindowLayout& layout, const at::Tensor& padding) {
  const int64_t rows = layout.padded_height() - layout.height;
  const int64_t columns = layout.padded_width() - layout.width;
  if (rows == 0 && columns == 0) return x;
  if (!padding.defined()) return at::constant_pad_nd(x, {0, 0, 0, columns, 0, rows});
  const auto right = padding.expand({x.size(0), x.size(1), columns, -1});
  const auto below = padding.expand({x.size(0), rows, layout.padded_width(), -1});
  return at::cat({at::cat({x, right}, 2), below}, 1);
}

at::Tensor roll(const at::Tensor& x, const WindowLayout& layout, int64_t sign) {
  if (!layout.shifted()) return x;
  return x.roll({sign * layout.shift_height, sign * layout.shift_width}, {1, 2});
}

}  // namespace

at::Tensor window_partition(const at::Tensor& x, int64_t window_height, int64_t window_width) {
  require(x.dim() == 4 && window_height > 0 && window_width > 0 && x.size(1) % window_height == 0 &&
              x.size(2) % window_width == 0,
          ErrorKind::data, "window_partition: {} does not divide into windows of {}x{}", shape_text(x), window_height,
          window_width);
  const int64_t rows = x.size(1) / window_height;
  const int64_t columns = x.size(2) / window_width;
  return x.reshape({x.size(0), rows, window_height, columns, window_width, x.size(3)})
      .permute({0, 1, 3, 2, 4, 5})  // [B,rows,columns,Wh,Ww,C]
      .reshape({x.size(0) * rows * columns, window_height * window_width, x.size(3)});
}

at::Tensor window_reverse(const at::Tensor& windows, const WindowLayout& layout) {
  require(windows.dim() == 3 && windows.size(0) % layout.windows() == 0 && windows.size(1) == layout.places(),
          ErrorKind::data, "window_reverse: expected [batch*{},{},C], got {}", layout.windows(), layout.places(),
          shape_text(windows));
  const int64_t batch = windows.size(0) / layout.windows();
  return windows
      .reshape({batch, layout.rows(), layout.columns(), layout.window_height, layout.window_width, windows.size(2)})
      .permute({0, 1, 3, 2, 4, 5})  // [B,rows,Wh,columns,Ww,C]
      .reshape({batch, layout.padded_height(), layout.padded_width(), windows.size(2)});
}

at::Tensor gather_strided(const at::Tensor& x, const WindowLayout& layout) {
  require(!layout.shifted() && !layout.padded(), ErrorKind::data,
          "gather_strided: windows of {}x{} shifted by {}x{} do not divide a grid of {}x{}", layout.window_height,
          layout.window_width, layout.shift_height, layout.shift_width, layout.height, layout.width);
  return x.reshape({x.size(0), layout.window_height, layout.rows(), layout.window_width, layout.columns(), x.size(3)})
      .permute({0, 2, 1, 4, 3, 5})  // [B,rows,Wh,columns,Ww,C]
      .reshape(x.sizes());
}

at::Tensor spread_strided(const at::Tensor& x, const WindowLayout& layout) {
  return x.reshape({x.size(0), layout.rows(), layout.window_height, layout.columns(), layout.window_width, x.size(3)})
      .permute({0, 2, 1, 4, 3, 5})  // [B,Wh,rows,Ww,columns,C]
      .reshape(x.sizes());
}

at::Tensor to_windows(const at::Tensor& x, const WindowLayout& layout, const at::Tensor& padding) {
  require(x.dim() == 4 && x.size(1) == layout.height && x.size(2) == layout.width, ErrorKind::data,
          "to_windows: expected [B,{},{},C], got {}", layout.height, layout.width, shape_text(x));
  if (layout.strided) return window_partition(gather_strided(x, layout), layout.window_height, layout.window_width);
  const auto ready =
      layout.pad_first ? roll(pad(x, layout, padding), layout, -1) : pad(roll(x, layout, -1), layout, padding);
  return window_partition(ready, layout.window_height, layout.window_width);
}

at::Tensor from_windows(const at::Tensor& windows, const WindowLayout& layout) {
  const auto cut = [&](const at::Tensor& x) { return x.narrow(1, 0, layout.height).narrow(2, 0, layout.width); };
  const auto grid = window_reverse(windows, layout);
  if (layout.strided) return spread_strided(grid, layout);
  return layout.pad_first ? cut(roll(grid, layout, 1)) : roll(cut(grid), layout, 1);
}

}  // namespace fovea
