// Where the network's input lies on the original picture: the sizes that resizing and cropping use, without pixels.
#pragma once

#include <cstdint>

#include "fovea/vision/image/preprocess.h"

namespace fovea {

// A part of a picture, in its pixels; x to the right, y down, (0,0) the outer corner of the first pixel.
struct Rectangle {
  double left = 0;
  double top = 0;
  double width = 0;
  double height = 0;
};

// What preprocessing does to a picture of one size: it is resized, then the input is cut out of the result.
struct CropGeometry {
  int64_t original_width = 0;  // pixels of the picture
  int64_t original_height = 0;
  int64_t resized_width = 0;  // pixels after resizing
  int64_t resized_height = 0;
  int64_t left = 0;  // of the crop in the resized picture; negative where it is padded
  int64_t top = 0;
  int64_t width = 0;  // of the crop, the network's input
  int64_t height = 0;

  // The crop in pixels of the original; passes its border where the crop is padded.
  Rectangle in_original() const;
};

// Throws Error(usage) when a size is not positive or crop_pct not in (0, 1].
CropGeometry crop_geometry(int64_t width, int64_t height, const PreprocessOptions& options);

}  // namespace fovea
