#include "fovea/vision/explain/attention_heat.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/vision/explain/flow.h"
#include "fovea/vision/explain/relevance.h"
#include "fovea/vision/explain/stitch_windows.h"

namespace fovea {
namespace {

// [.., H at `dim`, ..] → one head, or the mean of all.
at::Tensor fuse_heads(const at::Tensor& weights, int64_t dim, std::optional<int64_t> head) {
  return head ? weights.select(dim, *head) : weights.mean(dim);
}

// Windows of one image, [windows,H,W²,W²] → [h,w].
at::Tensor window_heat(const at::Tensor& weights, const AttentionMap& map, const AttentionHeatOptions& options) {
  const WindowLayout layout = window_layout(map);
  if (!options.query) return fuse_heads(received_attention(weights, layout)[0], 0, options.head);

  const at::Tensor fused = fuse_heads(weights, 1, options.head);                          // [windows,W²,W²]
  const at::Tensor place = window_tokens(layout).eq(*options.query).nonzero().flatten();  // window, place in it
  const int64_t window = place[0].item<int64_t>();
  at::Tensor values = at::zeros({fused.size(0), fused.size(2)}, fused.options());
  values[window] = fused[window][place[1].item<int64_t>()];
  return stitch_windows(values, layout)[0];
}

// Rows of one image, [H,n,M] → [h,w].
at::Tensor row_heat(const at::Tensor& weights, const AttentionMap& map, const AttentionHeatOptions& options) {
  const auto& [height, width, prefix] = map.grid;
  require(weights.size(2) == prefix + height * width, ErrorKind::data,
          "attention_heat: {} has {} keys, its grid has {} prefix tokens and {}x{} patches", map.path, weights.size(2),
          prefix, height, width);
  at::Tensor row = fuse_heads(weights, 0, options.head);  // [n,M]
  if (options.query || prefix > 0) {
    const int64_t query = options.query.value_or(0);
    const auto& rows = map.queries;
    const auto found = std::find(rows.begin(), rows.end(), query);
    require(rows.empty() || found != rows.end(), ErrorKind::usage, "attention_heat: row {} of {} was not recorded",
            query, map.path);
    row = row[rows.empty() ? query : found - rows.begin()];
  } else {
    require(map.queries.empty(), ErrorKind::usage,
            "attention_heat: the mean of all queries of {} needs all rows, {} were recorded", map.path,
            map.queries.size());
    row = row.mean(0);
  }
  return row.slice(0, prefix).view({height, width});
}

std::string describe_choice(const AttentionMap& map, int64_t heads, const AttentionHeatOptions& options) {
  const std::string head =
      options.head ? fmt::format("head {}", *options.head) : fmt::format("mean of {} heads", heads);
  if (options.query) return fmt::format("{}, row of token {}", head, *options.query);
  if (map.window > 0) {
    const std::string shifted = map.shift > 0 || map.shift_width > 0 ? "shifted " : "";
    return fmt::format("{}, mean of queries in {}{}x{} windows", head, shifted, map.window, map.window_width);
  }
  return head + (map.grid.prefix > 0 ? ", CLS row" : ", mean of queries");
}

}  // namespace

HeatMap attention_heat(const std::vector<AttentionMap>& maps, const AttentionHeatOptions& options) {
  const AttentionMap& map = select_map(maps, MapKind::tokens, options.layer);
  const int64_t heads = map.weights.size(1);
  require(!options.head || (*options.head >= 0 && *options.head < heads), ErrorKind::usage,
          "head {}: {} has heads 0…{}", options.head.value_or(0), map.path, heads - 1);
  const int64_t cells = map.grid.height * map.grid.width;
  const int64_t tokens = cells + (map.window > 0 ? 0 : map.grid.prefix);
  require(!options.query || (*options.query >= 0 && *options.query < tokens), ErrorKind::usage,
          "query {}: {} has tokens 0…{}", options.query.value_or(0), map.path, tokens - 1);

  const at::Tensor weights =
      options.gradients ? gradient_attention(map, options.image) : of_image(map, map.weights, options.image);
  const at::Tensor heat = map.window > 0 ? window_heat(weights, map, options) : row_heat(weights, map, options);
  return {.values = heat.contiguous(),
          .method = options.gradients ? "gradient attention" : "attention",
          .layer = map.path,
          .detail = describe_choice(map, heads, options),
          .unit = options.gradients ? "attention times gradient" : "attention weight"};
}

}  // namespace fovea
