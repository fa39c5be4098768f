#include "fovea/modules/window/window_layout.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/window/partition.h"

namespace fovea {
namespace {

constexpr double kApart = -100.0;  // the value of the published networks: e⁻¹⁰⁰ leaves nothing, yet stays finite

// Places of a padded side that the roll brought there from the opposite border: int64 [length], 0 or 1.
at::Tensor brought(int64_t length, int64_t shift) {
  return at::arange(length, at::kLong).ge(length - shift).to(at::kLong);
}

}  // namespace

at::Tensor window_tokens(const WindowLayout& layout) {
  require(layout.height > 0 && layout.width > 0 && layout.window_height > 0 && layout.window_width > 0, ErrorKind::data,
          "window_tokens: expected positive sizes, got a grid of {}x{} and windows of {}x{}", layout.height,
          layout.width, layout.window_height, layout.window_width);
  const auto grid = at::arange(layout.height * layout.width, at::kLong).view({1, layout.height, layout.width, 1});
  return to_windows(grid, layout, at::full({1}, -1, at::kLong)).squeeze(-1);
}

at::Tensor shift_mask(const WindowLayout& layout) {
  if (!layout.shifted()) return {};
  const auto rows = brought(layout.padded_height(), layout.shift_height);
  const auto columns = brought(layout.padded_width(), layout.shift_width);
  const auto region = (rows.unsqueeze(1) * 2 + columns).view({1, rows.size(0), columns.size(0), 1});
  const auto windows = window_partition(region, layout.window_height, layout.window_width).squeeze(-1);
  return windows.unsqueeze(1).ne(windows.unsqueeze(2)).to(at::kFloat).mul_(kApart);  // [windows,W²,W²]
}

WindowTables window_tables(const WindowLayout& layout) {
  const auto tokens = window_tokens(layout).flatten();
  const auto filled = tokens.ge(0).nonzero().squeeze(1);
  WindowTables tables{.layout = layout};
  tables.tokens = tokens.clamp_min(0);
  tables.padding = tokens.lt(0).nonzero().squeeze(1);
  tables.places = at::empty_like(filled).scatter_(0, tokens.index_select(0, filled), filled);
  tables.mask = shift_mask(layout);
  return tables;
}

}  // namespace fovea
