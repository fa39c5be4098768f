#include "fovea/vision/explain/heat_map.h"

#include <charconv>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

const char* kind_name(MapKind kind) {
  switch (kind) {
    case MapKind::tokens:
      return "token attention";
    case MapKind::channel:
      return "channel gates";
    case MapKind::spatial:
      return "spatial gates";
    case MapKind::feature:
      return "feature gates";
  }
  return "maps";
}

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

// "blocks.0.attn … blocks.11.attn (12 layers)"
std::string name_layers(const std::vector<const AttentionMap*>& maps) {
  if (maps.size() == 1) return maps.front()->path;
  return fmt::format("{} … {} ({} layers)", maps.front()->path, maps.back()->path, maps.size());
}

// What a model has in place of the kind asked for: "; it has channel gates"
std::string name_other_kinds(const std::vector<AttentionMap>& maps) {
  std::string names;
  for (const MapKind kind : {MapKind::tokens, MapKind::channel, MapKind::spatial, MapKind::feature}) {
    for (const AttentionMap& map : maps) {
      if (map.kind != kind) continue;
      names += (names.empty() ? "; there are " : " and ") + std::string(kind_name(kind));
      break;
    }
  }
  return names;
}

}  // namespace

std::string describe(const HeatMap& map) {
  std::string text = map.method;
  for (const std::string* part : {&map.layer, &map.detail}) {
    if (!part->empty()) text += ", " + *part;
  }
  return text;
}

const AttentionMap& select_map(const std::vector<AttentionMap>& maps, MapKind kind, const std::string& layer) {
  std::vector<const AttentionMap*> candidates;
  for (const AttentionMap& map : maps) {
    if (map.kind == kind) candidates.push_back(&map);
  }
  require(!candidates.empty(), ErrorKind::usage, "the model has no {}{}", kind_name(kind), name_other_kinds(maps));
  if (layer.empty()) return *candidates.back();

  const int64_t count = static_cast<int64_t>(candidates.size());
  if (const auto index = whole_number(layer)) {
    require(*index >= -count && *index < count, ErrorKind::usage, "layer {}: expected {}…{}, the model has {}", *index,
            -count, count - 1, name_layers(candidates));
    return *candidates[*index < 0 ? *index + count : *index];
  }
  const AttentionMap* found = nullptr;
  for (const AttentionMap* map : candidates) {
    if (map->path == layer) return *map;
    if (map->path.size() > layer.size() && map->path.starts_with(layer) && map->path[layer.size()] == '.') {
      require(found == nullptr, ErrorKind::usage, "layer {}: holds more than one {}: {}, {}", printable(layer),
              kind_name(kind), found ? found->path : "", map->path);
      found = map;
    }
  }
  require(found != nullptr, ErrorKind::usage, "layer {}: no {} there, the model has {}", printable(layer),
          kind_name(kind), name_layers(candidates));
  return *found;
}

}  // namespace fovea
