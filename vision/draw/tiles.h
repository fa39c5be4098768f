// Many small maps in rows and columns: layers × heads. No LibTorch.
#pragma once

#include <string>
#include <vector>

#include "fovea/vision/draw/heat.h"

namespace fovea {

struct TileRow {
  std::string label;
  std::vector<Heat> tiles;  // from left to right; their grids need not be alike
};

struct TileOptions {
  std::string title = {};
  std::string x_axis = {};  // what the columns are, which are numbered from 0
  std::string y_axis = {};
  std::string unit = {};  // what a value is: the label of the colour bar
  ColorMap colors = ColorMap::viridis;
};

// Each tile goes from its own least to its own greatest value. Throws Error(data) where there is no tile, and what
// draw_heat does.
Image draw_tiles(const std::vector<TileRow>& rows, const TileOptions& options = {});

// The same as a document of SVG.
std::string svg_tiles(const std::vector<TileRow>& rows, const TileOptions& options = {});

}  // namespace fovea
