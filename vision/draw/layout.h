// Where things stand in a picture of an explanation, in pixels of the output.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fovea {

struct PixelBox {
  int64_t left = 0;
  int64_t top = 0;
  int64_t width = 0;
  int64_t height = 0;
};

// A picture with a title over it and a panel (colour bar or chart) at its right.
struct Layout {
  int64_t factor = 1;  // of enlargement of the original
  double em = 0;       // size of the text
  int64_t width = 0;   // of the whole
  int64_t height = 0;
  std::vector<std::string> title;  // lines, wrapped
  PixelBox picture;
  PixelBox panel;
};

// All in em.
struct PanelSize {
  double width = 0;
  double height = 0;  // at least; otherwise that of the picture
  double left = 0;    // room between picture and panel
  double right = 0;   // room for labels
  double bottom = 0;
};

// Text grows with the picture: 12 pixels at 448, 111 at 4000. one_line: each line of the title is cut where it would
// be wrapped, so that the height does not depend on it.
Layout lay_out(int64_t width, int64_t height, const PanelSize& panel, const std::vector<std::string>& title,
               bool one_line = false);

// The panel of draw_overlay is its colour bar.
Layout overlay_layout(int64_t width, int64_t height, const std::vector<std::string>& title, bool one_line = false);

// The panel of draw_bars is the field of its chart.
Layout bars_layout(int64_t width, int64_t height, const std::vector<std::string>& title);

}  // namespace fovea
