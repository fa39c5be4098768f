// What a file of moving pictures is, from its first bytes, never from its name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fovea {

// "MP4", "Matroska" (WebM too) or "AVI"; nothing for every other beginning. 16 bytes suffice. Playlists, which name
// other files, are none of them.
std::string_view clip_format(std::span<const uint8_t> bytes);

// The same of a regular file; nothing also where it cannot be read.
std::string_view clip_format_of(const std::string& path);

}  // namespace fovea
