// Turning a picture as its EXIF orientation says.
#pragma once

#include "fovea/vision/image/image.h"

namespace fovea {

// orientation 1 (as it is) … 8, EXIF's numbers; others leave the picture as it is. From 5 on, the sides change places.
Image upright(Image image, int64_t orientation);

}  // namespace fovea
