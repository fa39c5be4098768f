// Lines over numbers, with axes and names: curves of faithfulness. No LibTorch.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/image/image.h"

namespace fovea {

struct Curve {
  std::string name;
  std::vector<double> y;  // at even distances along x, two at least
};

struct CurvePanel {
  std::string title;
  std::string x_axis;  // its ends are 0 and 1
  std::string y_axis;
  std::vector<Curve> curves = {};                   // the same names in every panel
  std::optional<std::array<double, 2>> range = {};  // ends of y; the least and greatest value unless given
};

// The panels side by side, and at their right the names in the colours of their lines.
// Throws Error(data) for no panel, no curve, other names than in the first panel, or fewer than two values,
// Error(numeric) for NaN and infinity, Error(usage) in a build without OpenCV.
Image draw_curves(const std::vector<CurvePanel>& panels, const std::string& title = {});

// The same as a document of SVG: a polyline a curve.
std::string svg_curves(const std::vector<CurvePanel>& panels, const std::string& title = {});

}  // namespace fovea
