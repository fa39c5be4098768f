// The codec library of this build: decode_opencv.cpp or decode_stb.cpp, chosen by CMake. Not a public header.
#pragma once

#include <cstdint>
#include <span>

#include "fovea/vision/image/image.h"
#include "fovea/vision/image/probe.h"

namespace fovea {

// A file that passed probe_image and check_structure → RGB, by the rules of decode.h, orientation not applied (TIFF's
// own excepted). Throws Error: data where the codec fails, usage where this build has no codec for the format.
Image decode_pixels(std::span<const uint8_t> bytes, const ImageHeader& header);

}  // namespace fovea
