#include <ATen/ATen.h>

#include "fovea/apps/gallery.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/channel/factory.h"
#include "fovea/vision/draw/token_map.h"

namespace fovea {
namespace {

constexpr int64_t kChannels = 16, kSide = 8;

// Three spots, of which each channel sees some.
at::Tensor spots() {
  const auto places = at::arange(kSide, at::kFloat);
  const auto spot = [&](double row, double column, double width) {
    return at::exp(-((places - row).square().unsqueeze(1) + (places - column).square()) / (2 * width * width));
  };
  const auto maps = at::stack({spot(1.5, 2, 0.9), spot(5.5, 1.5, 1.4), spot(4, 6, 1.1)});  // [3,8,8]
  const auto channels = at::arange(kChannels, at::kFloat).unsqueeze(1);
  const auto shares =
      at::cos(channels * at::tensor({0.4, 0.9, 1.7}, at::kFloat) + at::tensor({0.0, 1.0, 2.0}, at::kFloat));  // [16,3]
  return 2 * at::einsum("cs,shw->chw", {shares, maps}).unsqueeze(0);
}

GalleryPanel panel_of(const std::string& name, const AttentionMap& map) {
  const std::string title = map.path.empty() ? name : name + ", " + map.path;
  const auto weights = map.weights[0];
  switch (map.kind) {
    case MapKind::channel:
      return {matrix_panel(weights.view({1, -1}), title, "gate"), "channel", ""};
    case MapKind::spatial:
      return {matrix_panel(weights[0], title, "gate"), "column", "row"};
    case MapKind::feature:
      return {matrix_panel(weights.mean(0), title + ", mean of the channels", "gate"), "column", "row"};
    case MapKind::tokens:
      break;
  }
  const auto mean = weights.mean(0);  // over heads, [n,M]
  if (mean.size(0) == 1 && mean.size(1) == map.grid.height * map.grid.width) {
    return {matrix_panel(mean.view({map.grid.height, map.grid.width}), title, "attention weight"), "column", "row"};
  }
  return {matrix_panel(mean, title, "attention weight"), kSourceAxis, kTargetAxis};
}

}  // namespace

std::vector<GalleryPanel> slot_drawing(const std::string& name) {
  const at::NoGradGuard no_grad;
  at::manual_seed(7);
  auto layer = make_channel_attention(name, {.channels = kChannels, .reduction = 4, .height = kSide, .width = kSide});
  layer.ptr()->eval();
  for (auto& item : layer.ptr()->named_parameters()) {
    const bool gain = item.value().dim() == 1 && item.key().ends_with("weight");  // of a norm
    gain ? item.value().uniform_(0.5, 1.5) : item.value().normal_(0, 0.5);
  }
  const AttentionRecorder recorder(*layer.ptr());
  layer.forward(spots());
  std::vector<GalleryPanel> panels;
  for (const AttentionMap& map : recorder.maps()) panels.push_back(panel_of(name, map));
  return panels;
}

}  // namespace fovea
