// Heat over a picture.
#pragma once

#include <opencv2/core.hpp>

#include "fovea/vision/draw/heat.h"

namespace fovea {

inline constexpr int kBarTicks = 5;  // of the colour bar, both ends counted

// Values as steps of the colour map, 0…255, in place of numbers.
struct Scale {
  double low = 0;
  double high = 0;
};

// Throws Error(data) for a heat whose cells and values do not fit, Error(numeric) for NaN and infinity.
void check_heat(const Heat& heat);

// The range that `options` give, else from the least to the greatest value.
// Throws Error(usage) for a range that is none.
Scale scale_of(const Heat& heat, const OverlayOptions& options);

// Blends the colours over the picture; what lies outside `seen` (in pixels of the picture) is greyed out.
void blend_heat(cv::Mat& picture, const Heat& heat, const Rectangle& seen, const Scale& scale,
                const OverlayOptions& options);

// Lines where the heat is that of an inner tick of the colour bar.
void draw_contours(cv::Mat& picture, const Heat& heat, const Rectangle& seen, const Scale& scale, double thickness);

// A rectangle in pixels of the picture, outlined in two colours so that it is seen on every ground.
void outline(cv::Mat& picture, const Rectangle& place, double thickness);

// The rectangle `factor` times as large.
Rectangle enlarged(const Rectangle& rectangle, double factor);

}  // namespace fovea
