// Small pictures side by side, some of them under heat: heads, words, steps.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/draw/heat.h"

namespace fovea {

struct SheetPanel {
  const Image* picture = nullptr;      // has to outlive the call
  std::string caption = {};            // below the picture, up to three lines
  std::optional<Heat> heat = {};       // from its own least to its own greatest value
  std::optional<Rectangle> seen = {};  // as in OverlayOptions
  std::optional<Rectangle> mark = {};
};

struct SheetOptions {
  std::string title;  // the first lines
  ColorMap colors = ColorMap::viridis;
  double opacity = 0.65;
  int64_t side = 224;     // of the longer side of each picture, pixels
  int64_t columns = 0;    // 0: about as many as rows, at most 6
  std::string unit = {};  // what a value is: the label of the colour bar, which stands at the right where it is given
};

// The pictures row by row. Throws Error(data) where there are none, and what draw_heat does.
Image draw_sheet(const std::vector<SheetPanel>& panels, const SheetOptions& options = {});

}  // namespace fovea
