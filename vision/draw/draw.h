// Pictures of explanations. OpenCV is known in the sources of this folder alone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "fovea/vision/explain/gates.h"
#include "fovea/vision/explain/heat_map.h"
#include "fovea/vision/image/geometry.h"
#include "fovea/vision/image/image.h"

namespace fovea {

// False in a build without OpenCV, where every function below throws Error(usage) saying so.
bool draw_available();

enum class ColorMap { viridis, magma, inferno, cividis, turbo, jet };

struct OverlayOptions {
  std::string title;                   // first line: the model, the prediction; below it stands describe(map)
  std::optional<Rectangle> seen = {};  // where the map lies on the original, crop_geometry(…).in_original(); all
                                       // of it unless given
  ColorMap colors = ColorMap::viridis;
  double opacity = 0.65;                            // of the strongest heat, 0…1; the weakest has a third of it
  std::optional<std::array<double, 2>> range = {};  // values at the ends of the colour map, so that pictures compare;
                                                    // the least and greatest of this map unless given
};

// The heat over the original picture, with a title and a colour bar labelled in the map's own numbers.
//
// The picture keeps its size in pixels; one whose longer side is under 448 is enlarged by a whole factor with square
// pixels. The heat is interpolated (bilinear) over `seen`; what the network did not see is greyed out. Output: RGB.
// Throws Error(data) for a map or picture without cells, Error(numeric) when the map holds NaN or infinity.
Image draw_overlay(const Image& original, const HeatMap& map, const OverlayOptions& options = {});

struct BarOptions {
  std::string title;  // first line, as in OverlayOptions
};

// The original picture beside a chart of its channel gates, the strongest first, axes labelled; below the chart the
// numbers of the strongest and weakest channels.
Image draw_bars(const Image& original, const ChannelGates& gates, const BarOptions& options = {});

// The bytes of a PNG file, and of a JPEG file of quality 88.
std::string encode_png(const Image& image);
std::string encode_jpeg(const Image& image);

}  // namespace fovea
