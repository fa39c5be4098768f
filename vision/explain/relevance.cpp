#include "fovea/vision/explain/relevance.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/vision/explain/flow.h"

namespace fovea {

at::Tensor gradient_attention(const AttentionMap& map, int64_t image) {
  require(map.gradient.defined(), ErrorKind::usage, "{}: its attention was recorded without gradients", map.path);
  return (of_image(map, map.weights, image) * of_image(map, map.gradient, image)).clamp_min(0);
}

HeatMap relevance(const std::vector<AttentionMap>& maps, const RelevanceOptions& options) {
  const auto fuse = [&](const AttentionMap& map, const at::Tensor&) {
    return gradient_attention(map, options.image).mean(-3);
  };
  const Flow flow = follow_back(maps, fuse,
                                {.method = "relevance",
                                 .query = options.query,
                                 .answer = options.answer,
                                 .image = options.image,
                                 .normalise = false});
  return {.values = (flow.row - flow.direct).to(at::kFloat),
          .method = "relevance",
          .layer = fmt::format("{} layers", flow.layers),
          .detail = flow.start,
          .unit = "relevance"};
}

}  // namespace fovea
