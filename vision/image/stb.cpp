#include "fovea/vision/image/stb.h"

#include <limits>
#include <memory>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#include <stb/stb_image.h>

namespace fovea {
namespace {

auto load(const stbi_uc* data, int size, int* width, int* height, uint8_t) {
  return stbi_load_from_memory(data, size, width, height, nullptr, STBI_rgb);
}

auto load(const stbi_uc* data, int size, int* width, int* height, uint16_t) {
  return stbi_load_16_from_memory(data, size, width, height, nullptr, STBI_rgb);
}

}  // namespace

template <typename Sample>
std::optional<std::vector<Sample>> stb_decode(std::span<const uint8_t> bytes) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) return std::nullopt;
  int width = 0;
  int height = 0;
  const std::unique_ptr<Sample, void (*)(void*)> pixels(
      load(bytes.data(), static_cast<int>(bytes.size()), &width, &height, Sample{}), stbi_image_free);
  if (!pixels) return std::nullopt;
  return std::vector<Sample>(pixels.get(), pixels.get() + int64_t{3} * width * height);
}

template std::optional<std::vector<uint8_t>> stb_decode(std::span<const uint8_t>);
template std::optional<std::vector<uint16_t>> stb_decode(std::span<const uint8_t>);

}  // namespace fovea
