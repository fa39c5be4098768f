#include "fovea/vision/explain/occlusion.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/vision/explain/evidence.h"

namespace fovea {
namespace {

// Cells `first`…`first + count` along a side.
struct Span {
  int64_t first = 0;
  int64_t count = 0;
};

// What `span` of `cells` along dimension `dim` covers of the pixels.
at::Tensor pixels_of(const at::Tensor& pictures, int64_t dim, const Span& span, int64_t cells) {
  const auto edge = [&](int64_t cell) { return cell * pictures.size(dim) / cells; };
  return pictures.narrow(dim, edge(span.first), edge(span.first + span.count) - edge(span.first));
}

struct Window {
  Span rows;
  Span columns;
};

// All that hide a cell or more: as many hide one at the edge as one in the middle.
std::vector<Window> windows_over(const TokenGrid& grid, int64_t side) {
  const auto clipped = [side](int64_t first, int64_t cells) {
    const int64_t begin = std::max<int64_t>(first, 0);
    return Span{.first = begin, .count = std::min(first + side, cells) - begin};
  };
  std::vector<Window> windows;
  for (int64_t row = 1 - side; row < grid.height; ++row) {
    for (int64_t column = 1 - side; column < grid.width; ++column) {
      windows.push_back({.rows = clipped(row, grid.height), .columns = clipped(column, grid.width)});
    }
  }
  return windows;
}

}  // namespace

HeatMap occlusion(ImageModel& model, const at::Tensor& x, int64_t target, const OcclusionOptions& options) {
  require(options.window > 0 && options.batch > 0, ErrorKind::usage,
          "occlusion: window {} and batch {} must be positive", options.window, options.batch);
  const at::NoGradGuard no_grad;
  const TokenGrid grid = model.grid(x.size(2), x.size(3));
  const auto logits_of = [&](const at::Tensor& pictures) {
    const auto logits = model.forward(pictures).to(at::kCPU, at::kFloat);
    require_class(target, logits.size(1));
    return logits.select(1, target);
  };
  const auto whole = logits_of(x);
  const auto windows = windows_over(grid, options.window);
  const auto sums = at::zeros({grid.height, grid.width}, at::kFloat);
  for (int64_t first = 0; first < std::ssize(windows); first += options.batch) {
    const int64_t count = std::min(options.batch, std::ssize(windows) - first);
    const auto pictures = x.repeat({count, 1, 1, 1});
    for (int64_t i = 0; i < count; ++i) {
      const auto& [rows, columns] = windows[static_cast<size_t>(first + i)];
      pixels_of(pixels_of(pictures.narrow(0, i, 1), 2, rows, grid.height), 3, columns, grid.width).zero_();
    }
    const auto lost = whole - logits_of(pictures);
    for (int64_t i = 0; i < count; ++i) {
      const auto& [rows, columns] = windows[static_cast<size_t>(first + i)];
      sums.narrow(0, rows.first, rows.count).narrow(1, columns.first, columns.count).add_(lost[i]);
    }
  }
  return {.values = (sums / (options.window * options.window)).clamp_min(0),
          .method = "occlusion",
          .layer = "",
          .detail = fmt::format("{} windows of {} by {} cells hidden in turn", windows.size(), options.window,
                                options.window),
          .unit = "loss of the logit"};
}

}  // namespace fovea
