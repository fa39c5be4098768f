#include "fovea/vision/video/clip_format.h"

#include <array>
#include <filesystem>
#include <fstream>

namespace fovea {

std::string_view clip_format(std::span<const uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto at = [&](size_t place, std::string_view magic) {
    return text.size() >= place + magic.size() && text.substr(place, magic.size()) == magic;
  };
  if (at(4, "ftyp")) return "MP4";
  if (at(0, "\x1A\x45\xDF\xA3")) return "Matroska";
  if (at(0, "RIFF") && at(8, "AVI ")) return "AVI";
  return {};
}

std::string_view clip_format_of(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return {};  // what a pipe gave would be gone
  std::array<uint8_t, 16> bytes = {};
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), bytes.size());
  return clip_format(std::span(bytes).first(static_cast<size_t>(file.gcount())));
}

}  // namespace fovea
