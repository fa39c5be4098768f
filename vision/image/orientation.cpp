#include "fovea/vision/image/orientation.h"

#include <algorithm>
#include <utility>

namespace fovea {

Image upright(Image image, int64_t orientation) {
  if (orientation < 2 || orientation > 8) return image;
  // Which source pixel an upright pixel comes from: the sides swapped first, then each source axis reversed or not.
  const bool swapped = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image result{.width = swapped ? image.height : image.width,
               .height = swapped ? image.width : image.height,
               .channels = image.channels,
               .pixels = std::vector<uint8_t>(image.pixels.size())};
  for (int64_t y = 0; y < result.height; ++y) {
    uint8_t* out = result.row(y);
    for (int64_t x = 0; x < result.width; ++x, out += result.channels) {
      int64_t source_x = swapped ? y : x;
      int64_t source_y = swapped ? x : y;
      if (from_right) source_x = image.width - 1 - source_x;
      if (from_bottom) source_y = image.height - 1 - source_y;
      std::copy_n(image.row(source_y) + source_x * image.channels, image.channels, out);
    }
  }
  return result;
}

}  // namespace fovea
