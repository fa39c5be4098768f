// Heat over a picture, in plain numbers: no LibTorch.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/image/geometry.h"
#include "fovea/vision/image/image.h"

namespace fovea {

// False in a build without OpenCV, where every function that draws or encodes throws Error(usage) saying so.
bool draw_available();

enum class ColorMap { viridis, magma, inferno, cividis, turbo, jet };

struct OverlayOptions {
  std::string title;                   // first line: the model, the prediction; below it stands what the heat is
  std::optional<Rectangle> seen = {};  // where the heat lies on the original, crop_geometry(…).in_original(); all
                                       // of it unless given
  ColorMap colors = ColorMap::viridis;
  double opacity = 0.65;                            // of the strongest heat, 0…1; the weakest has a third of it
  std::optional<std::array<double, 2>> range = {};  // values at the ends of the colour map, so that pictures compare;
                                                    // the least and greatest of this map unless given
  std::optional<Rectangle> mark = {};               // a place to outline, in pixels of the original
  bool contours = false;                            // lines where the heat is that of the colour bar's inner ticks
  std::string range_name = "fixed scale";           // what `range` is, in the label of the colour bar
  bool one_line = false;  // lines of the title are cut to the width, so that pictures of one size stay of one size
};

// One number for each cell of a grid over the picture.
struct Heat {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<float> values;  // [height,width], row 0 is the top
  std::string description;    // "attention, blocks.11.attn, mean of 12 heads, CLS row"
  std::string unit;           // what a value is, for the label of the colour bar
};

// The heat over the original picture, with a title and a colour bar labelled in the heat's own numbers.
//
// The picture keeps its size in pixels; one whose longer side is under 448 is enlarged by a whole factor with square
// pixels. The heat is interpolated (bilinear) over `seen`; what lies outside is greyed out. Output: RGB.
// Throws Error(data) for a heat or picture without cells, Error(numeric) when the heat holds NaN or infinity.
Image draw_heat(const Image& original, const Heat& heat, const OverlayOptions& options = {});

// The bytes of a PNG file, and of a JPEG file of quality 88.
std::string encode_png(const Image& image);
std::string encode_jpeg(const Image& image);

}  // namespace fovea
