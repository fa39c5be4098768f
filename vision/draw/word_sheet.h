// One picture for a whole caption: the image once for each word.
#pragma once

#include <string>
#include <vector>

#include "fovea/vision/draw/draw.h"

namespace fovea {

struct WordHeat {
  std::string word;
  HeatMap map;
};

struct WordSheetOptions {
  std::string title;                   // the first lines: the caption, the model
  std::optional<Rectangle> seen = {};  // as in OverlayOptions
  ColorMap colors = ColorMap::viridis;
  double opacity = 0.65;
  int64_t side = 224;  // of the longer side of each small picture, pixels
};

// The original, then for each word the original with the word's heat over it and the word beneath, row by row. Each
// heat goes from its own least to its own greatest value. Throws Error(data) where there are no words, and what
// draw_overlay does; Error(usage) in a build without OpenCV.
Image draw_word_sheet(const Image& original, const std::vector<WordHeat>& words, const WordSheetOptions& options = {});

}  // namespace fovea
