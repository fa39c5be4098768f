#include "fovea/vision/explain/flow.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "fovea/modules/error.h"
#include "fovea/vision/explain/stitch_windows.h"

namespace fovea {
namespace {

bool same(const TokenGrid& a, const TokenGrid& b) {
  return a.height == b.height && a.width == b.width && a.prefix == b.prefix;
}

void check_layer(const AttentionMap& map, const char* method) {
  const auto& [height, width, prefix] = map.grid;
  require(map.queries.empty(), ErrorKind::usage, "{}: {} needs all rows, {} were recorded", method, map.path,
          map.queries.size());
  if (map.window > 0) return;
  const int64_t tokens = prefix + height * width;
  require(map.weights.size(2) == tokens && map.weights.size(3) == tokens, ErrorKind::data,
          "{}: {} has weights of {}, its grid has {} prefix tokens and {}x{} patches", method, map.path,
          fmt::join(map.weights.sizes(), "x"), prefix, height, width);
}

// [.., n, n] → A + I, with rows that sum to 1 where asked.
at::Tensor with_identity(const at::Tensor& matrix, bool normalise) {
  const at::Tensor step = matrix + at::eye(matrix.size(-1), at::kDouble);
  return normalise ? step / step.sum(-1, /*keepdim=*/true) : step;
}

// row [h·w] through one layer of windows, matrix [windows,W²,W²].
at::Tensor through_windows(const at::Tensor& row, const at::Tensor& matrix, const WindowLayout& layout,
                           bool normalise) {
  const at::Tensor tokens = window_tokens(layout);  // [windows,W²]
  const at::Tensor present = tokens.ge(0);
  const at::Tensor step = with_identity(matrix * present.unsqueeze(1), normalise);
  const at::Tensor rows = row.index({tokens.clamp_min(0)}) * present;  // [windows,W²]
  return stitch_windows(at::bmm(rows.unsqueeze(1), step).squeeze(1), layout)[0].flatten();
}

// How many tokens of a side of `fine` each of `coarse` was made of, [coarse]: 2, and 1 at the end of an odd side.
at::Tensor children(int64_t coarse, int64_t fine) {
  return (fine - 2 * at::arange(coarse, at::kDouble)).clamp_max(2);
}

// row over a grid → over the grid that patch merging halved.
at::Tensor before_merging(const at::Tensor& row, const TokenGrid& coarse, const TokenGrid& fine) {
  const at::Tensor share = row.view({coarse.height, coarse.width}) /
                           at::outer(children(coarse.height, fine.height), children(coarse.width, fine.width));
  return share.repeat_interleave(2, 0)
      .repeat_interleave(2, 1)
      .slice(0, 0, fine.height)
      .slice(1, 0, fine.width)
      .flatten();
}

bool merged(const TokenGrid& coarse, const TokenGrid& fine) {
  return coarse.prefix == 0 && fine.prefix == 0 && coarse.height == (fine.height + 1) / 2 &&
         coarse.width == (fine.width + 1) / 2;
}

struct Start {
  at::Tensor row;
  std::string name;
};

Start start_of(const TokenGrid& grid, const FlowOptions& options) {
  const int64_t tokens = grid.prefix + grid.height * grid.width;
  if (options.query || grid.prefix > 0) {
    at::Tensor row = at::zeros({tokens}, at::kDouble);
    row[options.query.value_or(0)] = 1;
    return {row, options.query ? fmt::format("row of token {}", *options.query) : "CLS row"};
  }
  if (!options.answer.defined())
    return {at::full({tokens}, 1.0 / static_cast<double>(tokens), at::kDouble), "mean of queries"};
  require(options.answer.numel() == tokens, ErrorKind::data, "{}: {} tokens answer, the last attention has {}x{}",
          options.method, options.answer.numel(), grid.height, grid.width);
  return {options.answer.detach().flatten().to(at::kCPU, at::kDouble), "rows that answer"};
}

}  // namespace

at::Tensor of_image(const AttentionMap& map, const at::Tensor& values, int64_t image) {
  const int64_t windows = map.window > 0 ? window_layout(map).windows() : 1;
  const int64_t batch = values.size(0) / windows;
  require(image >= 0 && image < batch, ErrorKind::usage, "image {}: the batch of {} has images 0…{}", image, map.path,
          batch - 1);
  const at::Tensor own = values.detach().narrow(0, image * windows, windows).to(at::kCPU, at::kFloat);
  return map.window > 0 ? own : own[0];
}

Flow follow_back(const std::vector<AttentionMap>& maps,
                 const std::function<at::Tensor(const AttentionMap&, const at::Tensor&)>& fuse,
                 const FlowOptions& options) {
  const AttentionMap& last = select_map(maps, MapKind::tokens, options.from);
  const int64_t tokens = last.grid.prefix + last.grid.height * last.grid.width;
  require(!options.query || (*options.query >= 0 && *options.query < tokens), ErrorKind::usage,
          "query {}: {} has tokens 0…{}", options.query.value_or(0), last.path, tokens - 1);

  const Start start = start_of(last.grid, options);
  Flow flow{.row = start.row, .direct = start.row, .start = start.name};
  const AttentionMap* behind = &last;
  TokenGrid grid = last.grid;
  for (const AttentionMap* map = &last; map >= maps.data(); --map) {
    if (map->kind != MapKind::tokens) continue;
    check_layer(*map, options.method);
    if (!same(grid, map->grid)) {
      require(merged(grid, map->grid), ErrorKind::data,
              "{}: {} has {}x{} patches and {} prefix tokens, {} behind it {}x{} and {}", options.method, map->path,
              map->grid.height, map->grid.width, map->grid.prefix, behind->path, grid.height, grid.width, grid.prefix);
      for (at::Tensor* row : {&flow.row, &flow.direct}) *row = before_merging(*row, grid, map->grid);
      grid = map->grid;
    }
    const at::Tensor matrix = fuse(*map, of_image(*map, map->weights, options.image)).to(at::kDouble);
    flow.row = map->window > 0 ? through_windows(flow.row, matrix, window_layout(*map), options.normalise)
                               : at::matmul(flow.row, with_identity(matrix, options.normalise));
    ++flow.layers;
    behind = map;
  }
  for (at::Tensor* row : {&flow.row, &flow.direct}) {
    *row = row->slice(0, grid.prefix).view({grid.height, grid.width}).contiguous();
  }
  return flow;
}

}  // namespace fovea
