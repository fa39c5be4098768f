// Maps of tensors as pictures of plain numbers.
#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/draw.h"

namespace fovea {

Heat plain_heat(const HeatMap& map, const char* function) {
  require(map.values.defined() && map.values.dim() == 2 && map.values.numel() > 0, ErrorKind::data,
          "{}: expected a map [h,w], got {} dimensions", function, map.values.defined() ? map.values.dim() : 0);
  const at::Tensor values = map.values.to(at::kCPU, at::kFloat).contiguous();
  const float* first = values.const_data_ptr<float>();
  return {.height = values.size(0),
          .width = values.size(1),
          .values = {first, first + values.numel()},
          .description = describe(map),
          .unit = map.unit};
}

Image draw_overlay(const Image& original, const HeatMap& map, const OverlayOptions& options) {
  return draw_heat(original, plain_heat(map, "draw_overlay"), options);
}

}  // namespace fovea
