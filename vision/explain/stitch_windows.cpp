#include "fovea/vision/explain/stitch_windows.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "fovea/modules/error.h"
#include "fovea/modules/window/partition.h"

namespace fovea {

WindowLayout window_layout(const AttentionMap& map) {
  return {.height = map.grid.height,
          .width = map.grid.width,
          .window_height = map.window,
          .window_width = map.window_width,
          .shift_height = map.shift,
          .shift_width = map.shift_width,
          .pad_first = map.pad_first,
          .strided = map.strided};
}

at::Tensor stitch_windows(const at::Tensor& values, const WindowLayout& layout) {
  require(values.dim() == 2, ErrorKind::data, "stitch_windows: expected [batch*{},{}], got [{}]", layout.windows(),
          layout.places(), fmt::join(values.sizes(), ","));
  return from_windows(values.unsqueeze(-1), layout).squeeze(-1);
}

at::Tensor received_attention(const at::Tensor& weights, const WindowLayout& layout) {
  require(weights.dim() == 4 && weights.size(2) == layout.places(), ErrorKind::data,
          "received_attention: expected [batch*{},H,{},{}], got [{}]", layout.windows(), layout.places(),
          layout.places(), fmt::join(weights.sizes(), ","));
  const at::Tensor received = weights.mean(2).transpose(1, 2);  // [B·windows,W²,H]
  return from_windows(received, layout).permute({0, 3, 1, 2});  // [B,H,h,w]
}

}  // namespace fovea
