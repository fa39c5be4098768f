#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/vision/image/backend.h"
#include "fovea/vision/image/stb.h"

namespace fovea {

Image decode_pixels(std::span<const uint8_t> bytes, const ImageHeader& header) {
  const std::string_view format = format_name(header.format);
  require(header.format == ImageFormat::jpeg || header.format == ImageFormat::png, ErrorKind::usage,
          "this build reads JPEG and PNG: {} needs the build with OpenCV", format);
  Image image{.width = header.width, .height = header.height};
  if (header.bit_depth == 16 && header.channels == 1) {
    const auto samples = stb_decode<uint16_t>(bytes);
    require(samples.has_value(), ErrorKind::data, "broken {}: cannot be decoded", format);
    image.pixels.resize(samples->size());
    std::ranges::transform(*samples, image.pixels.begin(), [](uint16_t value) { return (value + 128) / 257; });
  } else {
    auto samples = stb_decode<uint8_t>(bytes);
    require(samples.has_value(), ErrorKind::data, "broken {}: cannot be decoded", format);
    image.pixels = std::move(*samples);
  }
  return image;
}

}  // namespace fovea
