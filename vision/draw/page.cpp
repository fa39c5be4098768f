#include "fovea/vision/draw/page.h"

#include <cstdint>

#include "fovea/vision/draw/heat.h"

namespace fovea {

std::string base64(const void* data, size_t size) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto* bytes = static_cast<const uint8_t*>(data);
  std::string text;
  text.reserve((size + 2) / 3 * 4);
  for (size_t i = 0; i < size; i += 3) {
    uint32_t group = bytes[i] << 16;
    if (i + 1 < size) group |= bytes[i + 1] << 8;
    if (i + 2 < size) group |= bytes[i + 2];
    text += digits[group >> 18];
    text += digits[group >> 12 & 63];
    text += i + 1 < size ? digits[group >> 6 & 63] : '=';
    text += i + 2 < size ? digits[group & 63] : '=';
  }
  return text;
}

std::string png_url(const Image& picture) {
  const std::string bytes = encode_png(picture);
  return "data:image/png;base64," + base64(bytes.data(), bytes.size());
}

std::string jpeg_url(const Image& picture) {
  const std::string bytes = encode_jpeg(picture);
  return "data:image/jpeg;base64," + base64(bytes.data(), bytes.size());
}

std::string inside_script(std::string json) {
  for (size_t at = json.find('<'); at != std::string::npos; at = json.find('<', at)) json.replace(at, 1, "\\u003c");
  return json;
}

void fill_in(std::string& page, const std::string& mark, const std::string& text) {
  page.replace(page.find(mark), mark.size(), text);
}

}  // namespace fovea
