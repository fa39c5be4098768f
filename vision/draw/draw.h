// Pictures of explanations. OpenCV is known in the sources of this folder alone.
#pragma once

#include <string>

#include "fovea/vision/draw/heat.h"
#include "fovea/vision/explain/gates.h"
#include "fovea/vision/explain/heat_map.h"

namespace fovea {

// A map in plain numbers, for draw_heat and draw_sheet. Throws Error(data) "FUNCTION: …" for a map without cells.
Heat plain_heat(const HeatMap& map, const char* function);

// draw_heat of a map, described by describe(map).
Image draw_overlay(const Image& original, const HeatMap& map, const OverlayOptions& options = {});

struct BarOptions {
  std::string title;  // first line, as in OverlayOptions
};

// The original picture beside a chart of its channel gates, the strongest first, axes labelled; below the chart the
// numbers of the strongest and weakest channels.
Image draw_bars(const Image& original, const ChannelGates& gates, const BarOptions& options = {});

}  // namespace fovea
