#include "fovea/vision/explain/rollout.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/vision/explain/flow.h"
#include "fovea/vision/explain/relevance.h"

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

// [..,H,n,n] → [..,n,n]
at::Tensor fuse_heads(const AttentionMap& map, const at::Tensor& weights, const RolloutOptions& options) {
  const int64_t heads = weights.size(-3);
  require(!options.head || (*options.head >= 0 && *options.head < heads), ErrorKind::usage,
          "head {}: {} has heads 0…{}", options.head.value_or(0), map.path, heads - 1);
  if (options.head) return weights.select(-3, *options.head);
  switch (options.fusion) {
    case HeadFusion::mean:
      return weights.mean(-3);
    case HeadFusion::max:
      return weights.amax(-3);
    case HeadFusion::min:
      return weights.amin(-3);
  }
  fail(ErrorKind::internal, "rollout: no such fusion of heads");
}

at::Tensor discard_smallest(const at::Tensor& matrix, double share) {
  const int64_t count = static_cast<int64_t>(share * static_cast<double>(matrix.numel()));
  if (count == 0) return matrix;
  const at::Tensor smallest = std::get<1>(matrix.flatten().topk(count, -1, /*largest=*/false));
  return matrix.flatten().index_fill(0, smallest, 0).view_as(matrix);
}

}  // namespace

HeatMap rollout(const std::vector<AttentionMap>& maps, const RolloutOptions& options) {
  require(options.discard >= 0 && options.discard < 1, ErrorKind::usage, "rollout: discard {} is not in [0,1)",
          options.discard);
  const auto fuse = [&](const AttentionMap& map, const at::Tensor& weights) {
    const at::Tensor own = options.gradients ? gradient_attention(map, options.image) : weights;
    return discard_smallest(fuse_heads(map, own, options), options.discard);
  };
  const char* const method = options.gradients ? "gradient rollout" : "rollout";
  const Flow flow = follow_back(
      maps, fuse, {.method = method, .query = options.query, .answer = options.answer, .image = options.image});
  const int64_t heads = select_map(maps, MapKind::tokens, "").weights.size(1);
  const std::string detail = options.head ? fmt::format("head {}", *options.head)
                                          : fmt::format("{} of {} heads", fusion_name(options.fusion), heads);
  return {.values = flow.row.to(at::kFloat),
          .method = method,
          .layer = fmt::format("{} layers", flow.layers),
          .detail = detail + ", " + flow.start,
          .unit = "share of the attention flow"};
}

}  // namespace fovea
