// stb_image behind one function. It is silent, small and strict, and always built: the decoder of the build without
// OpenCV, and in every build the judge of JPEGs without an end marker. Not a public header.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fovea {

// JPEG or PNG → interleaved RGB of 8 or 16 bits (Sample = uint8_t or uint16_t), row by row; nothing where stb fails.
template <typename Sample>
std::optional<std::vector<Sample>> stb_decode(std::span<const uint8_t> bytes);

}  // namespace fovea
