// The parsers behind probe_image and check_structure, one file a format. Not a public header.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "fovea/modules/error.h"
#include "fovea/vision/image/probe.h"

namespace fovea::formats {

using Bytes = std::span<const uint8_t>;

// Integers at absolute positions of a file; a position past the end throws Error(data, "truncated PNG").
class ByteView {
 public:
  ByteView(Bytes bytes, ImageFormat format, std::endian order) : bytes_(bytes), format_(format), order_(order) {}

  uint64_t size() const { return bytes_.size(); }
  uint8_t u8(uint64_t at) const { return slice(at, 1)[0]; }
  uint16_t u16(uint64_t at) const { return static_cast<uint16_t>(integer(at, 2)); }
  uint32_t u32(uint64_t at) const { return static_cast<uint32_t>(integer(at, 4)); }
  uint64_t u64(uint64_t at) const { return integer(at, 8); }

  Bytes slice(uint64_t at, uint64_t length) const {
    require(at <= size() && length <= size() - at, ErrorKind::data, "truncated {}", format_name(format_));
    return bytes_.subspan(at, length);
  }

  std::string_view text(uint64_t at, uint64_t length) const {
    const Bytes part = slice(at, length);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

 private:
  uint64_t integer(uint64_t at, int length) const {
    const Bytes part = slice(at, length);
    uint64_t value = 0;
    for (int i = 0; i < length; ++i) {
      const int shift = 8 * (order_ == std::endian::big ? length - 1 - i : i);
      value |= uint64_t{part[i]} << shift;
    }
    return value;
  }

  Bytes bytes_;
  ImageFormat format_;
  std::endian order_;
};

ImageHeader probe_jpeg(Bytes bytes);
ImageHeader probe_png(Bytes bytes);
ImageHeader probe_webp(Bytes bytes);
ImageHeader probe_bmp(Bytes bytes);
ImageHeader probe_tiff(Bytes bytes);

ImageStructure check_jpeg(Bytes bytes);
void check_png(Bytes bytes, const ImageHeader& header);
void check_webp(Bytes bytes);
void check_bmp(Bytes bytes, const ImageHeader& header);
void check_tiff(Bytes bytes);

// The orientation tag of an EXIF block (a TIFF header and its first directory), 1 where there is none in 1…8.
int64_t exif_orientation(Bytes tiff);

// The same PNG with what decides its colours alone: IHDR, PLTE (filled up to every index), IDAT, IEND. Decoders then
// neither unpack nor complain about text, colour profiles and broken extras. bytes has passed check_png.
std::vector<uint8_t> png_essentials(Bytes bytes, const ImageHeader& header);

// The same TIFF with its alpha marked as an unspecified fourth sample: libtiff would multiply the colours by it.
std::vector<uint8_t> tiff_without_alpha(Bytes bytes);

}  // namespace fovea::formats
