#include "fovea/vision/explain/rollout.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

const char* fusion_name(HeadFusion fusion) {
  switch (fusion) {
    case HeadFusion::mean:
      return "mean";
    case HeadFusion::max:
      return "max";
    case HeadFusion::min:
      return "min";
  }
  return "";
}

// [H,N,N] → [N,N]
at::Tensor fuse_heads(const at::Tensor& weights, const RolloutOptions& options) {
  if (options.head) return weights[*options.head];
  switch (options.fusion) {
    case HeadFusion::mean:
      return weights.mean(0);
    case HeadFusion::max:
      return weights.amax(0);
    case HeadFusion::min:
      return weights.amin(0);
  }
  fail(ErrorKind::internal, "rollout: no such fusion of heads");
}

at::Tensor discard_smallest(const at::Tensor& matrix, double share) {
  const int64_t count = static_cast<int64_t>(share * static_cast<double>(matrix.numel()));
  if (count == 0) return matrix;
  const at::Tensor smallest = std::get<1>(matrix.flatten().topk(count, -1, /*largest=*/false));
  return matrix.flatten().index_fill(0, smallest, 0).view_as(matrix);
}

void check_layer(const AttentionMap& map, const AttentionMap& first, const RolloutOptions& options) {
  require(map.window == 0, ErrorKind::usage,
          "rollout: {} attends within windows, whose tokens differ from stage to stage; use the method attention",
          map.path);
  const auto& [height, width, prefix] = map.grid;
  const int64_t tokens = prefix + height * width;
  require(map.queries.empty(), ErrorKind::usage, "rollout: {} needs all rows, {} were recorded", map.path,
          map.queries.size());
  require(map.weights.size(2) == tokens && map.weights.size(3) == tokens, ErrorKind::data,
          "rollout: {} has weights of {}, its grid has {} prefix tokens and {}x{} patches", map.path,
          fmt::join(map.weights.sizes(), "x"), prefix, height, width);
  require(height == first.grid.height && width == first.grid.width && prefix == first.grid.prefix, ErrorKind::data,
          "rollout: {} has {}x{} patches and {} prefix tokens, {} has {}x{} and {}", map.path, height, width, prefix,
          first.path, first.grid.height, first.grid.width, first.grid.prefix);
  require(!options.head || (*options.head >= 0 && *options.head < map.weights.size(1)), ErrorKind::usage,
          "head {}: {} has heads 0…{}", options.head.value_or(0), map.path, map.weights.size(1) - 1);
  require(options.image >= 0 && options.image < map.weights.size(0), ErrorKind::usage,
          "image {}: the batch of {} has images 0…{}", options.image, map.path, map.weights.size(0) - 1);
  require(!options.query || (*options.query >= 0 && *options.query < tokens), ErrorKind::usage,
          "query {}: {} has tokens 0…{}", options.query.value_or(0), map.path, tokens - 1);
}

}  // namespace

HeatMap rollout(const std::vector<AttentionMap>& maps, const RolloutOptions& options) {
  require(options.discard >= 0 && options.discard < 1, ErrorKind::usage, "rollout: discard {} is not in [0,1)",
          options.discard);
  const AttentionMap& last = select_map(maps, MapKind::tokens, "");
  const AttentionMap& first = select_map(maps, MapKind::tokens, "0");
  const auto& [height, width, prefix] = last.grid;
  const int64_t tokens = prefix + height * width;

  // Only one row of the product is wanted, so the row goes from the last layer down: N² a layer, not N³.
  at::Tensor row;
  int64_t layers = 0;
  for (auto map = maps.rbegin(); map != maps.rend(); ++map) {
    if (map->kind != MapKind::tokens) continue;
    check_layer(*map, first, options);
    at::Tensor matrix = fuse_heads(map->weights.detach()[options.image].to(at::kCPU, at::kFloat), options);
    matrix = discard_smallest(matrix, options.discard) + at::eye(tokens);
    matrix = matrix / matrix.sum(-1, /*keepdim=*/true);
    if (row.defined()) {
      row = at::matmul(row, matrix);
    } else {
      row = options.query || prefix > 0 ? matrix[options.query.value_or(0)] : matrix.mean(0);
    }
    ++layers;
  }
  std::string detail = options.head ? fmt::format("head {}", *options.head)
                                    : fmt::format("{} of {} heads", fusion_name(options.fusion), last.weights.size(1));
  if (options.query) {
    detail += fmt::format(", row of token {}", *options.query);
  } else {
    detail += prefix > 0 ? ", CLS row" : ", mean of queries";
  }
  return {.values = row.slice(0, prefix).view({height, width}).contiguous(),
          .method = "rollout",
          .layer = fmt::format("{} layers", layers),
          .detail = detail,
          .unit = "share of the attention flow"};
}

}  // namespace fovea
