#include "fovea/vision/explain/gates.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

at::Tensor gates_of_image(const AttentionMap& map, int64_t image) {
  const int64_t batch = map.weights.size(0);
  require(image >= 0 && image < batch, ErrorKind::usage, "image {}: the batch of {} has images 0…{}", image, map.path,
          batch - 1);
  return map.weights.detach()[image].to(at::kCPU, at::kFloat).contiguous();
}

}  // namespace

HeatMap spatial_gates(const std::vector<AttentionMap>& maps, const GateOptions& options) {
  const AttentionMap& map = select_map(maps, MapKind::spatial, options.layer);
  return {.values = gates_of_image(map, options.image)[0],
          .method = "spatial",
          .layer = map.path,
          .detail = "",
          .unit = "gate"};
}

ChannelGates channel_gates(const std::vector<AttentionMap>& maps, const GateOptions& options) {
  const AttentionMap& map = select_map(maps, MapKind::channel, options.layer);
  return {.values = gates_of_image(map, options.image), .layer = map.path};
}

}  // namespace fovea
