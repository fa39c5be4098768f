// Windows and OS/2 bitmaps, https://learn.microsoft.com/windows/win32/gdi/bitmap-storage
#include <cstdlib>

#include "fovea/vision/image/formats.h"

namespace fovea::formats {
namespace {

enum Compression : uint32_t { uncompressed = 0, rle8 = 1, rle4 = 2, bit_fields = 3 };

struct Layout {
  uint64_t pixels_at = 0;
  uint32_t compression = 0;
};

ByteView bmp_view(Bytes bytes) {
  return {bytes, ImageFormat::bmp, std::endian::little};
}

constexpr uint64_t kInfoAt = 14;    // behind the file header
constexpr uint32_t kCoreSize = 12;  // of OS/2's info header, with 16-bit sizes

Layout layout(Bytes bytes) {
  const ByteView file = bmp_view(bytes);
  return {file.u32(10), file.u32(kInfoAt) == kCoreSize ? uncompressed : file.u32(kInfoAt + 16)};
}

// Throws where the run-length codes stop before their end-of-bitmap code.
void check_runs(Bytes bytes, const Layout& where) {
  const ByteView file = bmp_view(bytes);
  for (uint64_t at = where.pixels_at;;) {
    const int count = file.u8(at);
    const int code = file.u8(at + 1);
    at += 2;
    if (count != 0) continue;
    if (code == 1) return;
    if (code == 2) at += 2;  // a move
    if (code > 2) {          // that many single pixels, padded to 16 bits
      const uint64_t length = where.compression == rle8 ? code : (code + 1) / 2;
      at += length + (length & 1);
    }
  }
}

}  // namespace

ImageHeader probe_bmp(Bytes bytes) {
  const ByteView file = bmp_view(bytes);
  const uint32_t info_size = file.u32(kInfoAt);
  ImageHeader header{.format = ImageFormat::bmp};
  int bits = 0;
  if (info_size == kCoreSize) {
    header.width = file.u16(kInfoAt + 4);
    header.height = file.u16(kInfoAt + 6);
    bits = file.u16(kInfoAt + 10);
  } else {
    require(info_size >= 40 && info_size <= 124, ErrorKind::data, "broken BMP: info header of {} bytes", info_size);
    header.width = static_cast<int32_t>(file.u32(kInfoAt + 4));
    header.height = std::abs(int64_t{static_cast<int32_t>(file.u32(kInfoAt + 8))});  // negative: top row first
    bits = file.u16(kInfoAt + 14);
    const uint32_t colours = file.u32(kInfoAt + 32);
    require(colours <= 256, ErrorKind::data, "broken BMP: a palette of {} colours", colours);
  }
  const uint32_t compression = layout(bytes).compression;
  const bool depth_fits = compression == uncompressed ? bits == 1 || bits == 4 || bits == 8 || bits == 24 || bits == 32
                          : compression == rle8       ? bits == 8
                          : compression == rle4       ? bits == 4
                          : compression == bit_fields ? bits == 32
                                                      : false;
  require(depth_fits, ErrorKind::data, "BMP with {} bits a pixel and compression {} is not read", bits, compression);
  if (compression == bit_fields) {
    const uint64_t masks = kInfoAt + 40;
    require(file.u32(masks) == 0xFF0000 && file.u32(masks + 4) == 0xFF00 && file.u32(masks + 8) == 0xFF,
            ErrorKind::data, "BMP with channels in another order than BGR is not read");
  }
  header.palette = bits <= 8;
  header.channels = header.palette ? 1 : bits / 8;
  header.bit_depth = header.palette ? bits : 8;
  return header;
}

void check_bmp(Bytes bytes, const ImageHeader& header) {
  const Layout where = layout(bytes);
  if (where.compression == rle8 || where.compression == rle4) return check_runs(bytes, where);
  const int64_t row_bytes = (header.width * header.channels * header.bit_depth + 31) / 32 * 4;
  bmp_view(bytes).slice(where.pixels_at, row_bytes * header.height);
}

}  // namespace fovea::formats
