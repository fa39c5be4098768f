#include "fovea/vision/explain/head_profile.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <limits>

#include "fovea/modules/error.h"
#include "fovea/vision/explain/stitch_windows.h"

namespace fovea {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kSaturated = 0.999;

// Pixels between the tokens at the places of sequences: tokens int64 [S,n], −1 where there is none, → float64 [S,n,n]
// and which pairs there are, bool.
struct Distances {
  at::Tensor pixels;
  at::Tensor pairs;
};

Distances distances(const at::Tensor& tokens, const TokenGrid& grid, int64_t height, int64_t width) {
  const auto along = [&](const at::Tensor& index, int64_t pixels, int64_t cells) {
    const auto place = index.to(at::kDouble) * (static_cast<double>(pixels) / static_cast<double>(cells));
    return place.unsqueeze(2) - place.unsqueeze(1);
  };
  const auto there = tokens.ge(0);
  const auto y = along(tokens.clamp_min(0).div(grid.width, "floor"), height, grid.height);
  const auto x = along(tokens.clamp_min(0).remainder(grid.width), width, grid.width);
  return {(y.square() + x.square()).sqrt(), there.unsqueeze(2).logical_and(there.unsqueeze(1))};
}

// Of one layer: weights [S,H,N,M] of S windows, or of one sequence.
struct Layer {
  at::Tensor weights;  // float64
  at::Tensor allowed;  // bool, broadcasts to weights; may be undefined
  Distances between;   // of the patches, whose rows and columns follow `prefix`
  int64_t prefix = 0;
  bool patches = false;  // its queries and keys are the tokens of the grid
};

Layer layer_of(const AttentionMap& map, int64_t height, int64_t width) {
  Layer layer{.weights = map.weights.to(at::kCPU, at::kDouble)};
  const int64_t cells = map.grid.height * map.grid.width;
  if (map.window > 0) {
    const WindowLayout windows = window_layout(map);
    const auto mask = shift_mask(windows);
    if (mask.defined()) layer.allowed = mask.eq(0).unsqueeze(1);
    layer.between = distances(window_tokens(windows), map.grid, height, width);
    layer.patches = true;
    return layer;
  }
  layer.prefix = map.grid.prefix;
  layer.patches =
      cells > 0 && layer.weights.size(2) == layer.prefix + cells && layer.weights.size(3) == layer.prefix + cells;
  if (layer.patches) {
    layer.between = distances(at::arange(cells, at::kLong).unsqueeze(0), map.grid, height, width);
  }
  return layer;
}

// Σ weight · distance / Σ weight over pairs of patches: weights [S,H,n,n] → [H].
at::Tensor mean_distance(const at::Tensor& weights, const Distances& between) {
  const auto there = weights * between.pairs.unsqueeze(1);
  return (there * between.pixels.unsqueeze(1)).sum(at::IntArrayRef({0, 2, 3})) / there.sum(at::IntArrayRef({0, 2, 3}));
}

// Weights if every query looked at all it may alike, as one head.
at::Tensor even_weights(const Layer& layer) {
  const auto shape = layer.weights.narrow(1, 0, 1);
  const auto open = layer.allowed.defined() ? layer.allowed.expand_as(shape).to(at::kDouble) : at::ones_like(shape);
  return open / open.sum(-1, /*keepdim=*/true);
}

double item(const at::Tensor& tensor, int64_t index) {
  return tensor[index].item<double>();
}

LayerProfile profile(const AttentionMap& map, int64_t height, int64_t width) {
  require(map.queries.empty(), ErrorKind::usage, "profile_heads: {} holds {} rows, all are needed", map.path,
          map.queries.size());
  const Layer layer = layer_of(map, height, width);
  const auto& weights = layer.weights;
  const int64_t heads = weights.size(1), keys = weights.size(3);
  LayerProfile result{.path = map.path,
                      .grid = map.grid,
                      .window = map.window,
                      .even_distance = kNone,
                      .finite = at::isfinite(weights).all().item<bool>()};
  const auto inner = [&](const at::Tensor& all) {
    return all.slice(2, layer.prefix).slice(3, layer.prefix);  // between patches
  };
  const auto entropy = normalised_entropy(weights, layer.allowed).mean(at::IntArrayRef({0, 2}));
  const auto saturated = weights.amax(-1).gt(kSaturated).to(at::kDouble).mean(at::IntArrayRef({0, 2}));
  const auto looking = layer.patches ? weights.slice(2, layer.prefix) : weights;  // rows of patches, or all there are
  const auto onto = looking.mean(at::IntArrayRef({0, 2}));                        // [H,M]
  at::Tensor distance;
  if (layer.patches) {
    distance = mean_distance(inner(weights), layer.between);
    result.even_distance = item(mean_distance(inner(even_weights(layer)), layer.between), 0);
  }
  std::vector<HeadReport> reports(heads);
  if (result.finite && weights.size(2) == keys) reports = classify_heads(weights);
  for (int64_t h = 0; h < heads; ++h) {
    result.heads.push_back(
        {.entropy = item(entropy, h),
         .distance = distance.defined() ? item(distance, h) : kNone,
         .first = layer.prefix > 0 ? item(onto[h], 0) : kNone,
         .registers = layer.prefix > 1 ? onto[h].slice(0, 1, layer.prefix).sum().item<double>() : kNone,
         .saturated = keys > 1 ? item(saturated, h) : 0,
         .kind = reports[h].kind,
         .idle = reports[h].idle,
         .twin = reports[h].twin});
  }
  return result;
}

// "heads 1, 4" of those that `what` says.
template <typename Predicate>
std::string name_heads(const LayerProfile& layer, Predicate what) {
  std::vector<size_t> found;
  for (size_t h = 0; h < layer.heads.size(); ++h) {
    if (what(layer.heads[h])) found.push_back(h);
  }
  if (found.empty()) return "";
  return fmt::format("{} {}", found.size() == 1 ? "head" : "heads", fmt::join(found, ", "));
}

}  // namespace

std::vector<LayerProfile> profile_heads(const std::vector<AttentionMap>& maps, int64_t height, int64_t width) {
  std::vector<LayerProfile> layers;
  for (const AttentionMap& map : maps) {
    if (map.kind == MapKind::tokens) layers.push_back(profile(map, height, width));
  }
  require(!layers.empty(), ErrorKind::usage, "profile_heads: the model has no token attention");
  return layers;
}

std::vector<std::string> health_warnings(const std::vector<LayerProfile>& layers) {
  std::vector<std::string> lines;
  const auto add = [&](const LayerProfile& layer, const std::string& heads, const char* text) {
    if (!heads.empty()) lines.push_back(fmt::format("{}: {} {}", layer.path, heads, text));
  };
  for (const LayerProfile& layer : layers) {
    if (!layer.finite) {
      lines.push_back(fmt::format("{}: the attention weights hold NaN or infinity", layer.path));
      continue;
    }
    add(layer, name_heads(layer, [](const HeadProfile& head) { return head.saturated > 0.5; }),
        "saturated: in most rows one key has nearly all of the weight, and gradients vanish");
    add(layer, name_heads(layer, [](const HeadProfile& head) { return head.idle; }),
        "idle: every query looks at the same");
    for (size_t h = 0; h < layer.heads.size(); ++h) {
      const auto& twin = layer.heads[h].twin;
      if (twin && !layer.heads[h].idle) {
        lines.push_back(fmt::format("{}: head {} does the same as head {}", layer.path, h, *twin));
      }
    }
  }
  return lines;
}

}  // namespace fovea
