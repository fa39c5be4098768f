// What the gallery draws of each mechanism, on inputs that never change.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "fovea/vision/draw/matrix.h"

namespace fovea {

struct GalleryPanel {
  MatrixPanel matrix;  // its title says what it shows
  std::string x_axis;
  std::string y_axis;
};

// Of mechanisms between tokens: 24 tokens in four groups that drift within.
struct TokenDrawing {
  const char* mechanism;  // the first cell of its row in docs/modules.md
  std::vector<GalleryPanel> (*draw)();
};
std::span<const TokenDrawing> token_drawings();

// Which pairs of 48 tokens the sparse patterns leave, and when they meet in a ring of processes.
std::vector<GalleryPanel> pattern_panels();
std::vector<GalleryPanel> ring_panels();

// Every map that a layer of make_channel_attention records on a map of 16 channels and 8×8 pixels with three spots.
std::vector<GalleryPanel> slot_drawing(const std::string& name);

}  // namespace fovea
