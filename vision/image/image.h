// A picture in memory: interleaved 8-bit RGB (or one channel), rows without padding.
#pragma once

#include <cstdint>
#include <vector>

namespace fovea {

struct Image {
  int64_t width = 0;  // pixels
  int64_t height = 0;
  int64_t channels = 3;  // 3: RGB, 1: grey
  std::vector<uint8_t> pixels;

  uint8_t* row(int64_t y) { return pixels.data() + y * width * channels; }
  const uint8_t* row(int64_t y) const { return pixels.data() + y * width * channels; }
};

}  // namespace fovea
