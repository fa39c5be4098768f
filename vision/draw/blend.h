// Heat over a picture.
#pragma once

#include <opencv2/core.hpp>

#include "fovea/vision/draw/draw.h"

namespace fovea {

// Values as steps of the colour map, 0…255, in place of numbers.
struct Scale {
  double low = 0;
  double high = 0;
};

// The range that `options` give, else from the least to the greatest of these values [h,w] (float32, contiguous).
// Throws Error(usage) for a range that is none.
Scale scale_of(const at::Tensor& values, const OverlayOptions& options);

// Blends the colours over the picture; what lies outside `seen` (in pixels of the picture) is greyed out.
void blend_heat(cv::Mat& picture, const HeatMap& map, const Rectangle& seen, const Scale& scale,
                const OverlayOptions& options);

}  // namespace fovea
