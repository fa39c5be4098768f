// WebP's container, https://developers.google.com/speed/webp/docs/riff_container
#include "fovea/vision/image/formats.h"

namespace fovea::formats {
namespace {

ByteView webp_view(Bytes bytes) {
  return {bytes, ImageFormat::webp, std::endian::little};
}

uint32_t u24(const ByteView& file, uint64_t at) {
  return file.u16(at) | uint32_t{file.u8(at + 2)} << 16;
}

constexpr uint64_t kFirstChunk = 12;  // behind "RIFF", the size and "WEBP"

uint64_t padded(uint64_t size) {
  return size + (size & 1);
}

}  // namespace

ImageHeader probe_webp(Bytes bytes) {
  const ByteView file = webp_view(bytes);
  require(file.text(0, 4) == "RIFF", ErrorKind::data, "broken WebP: no RIFF header");
  const std::string_view type = file.text(kFirstChunk, 4);
  const uint64_t data = kFirstChunk + 8;
  ImageHeader header{.format = ImageFormat::webp, .channels = 3, .bit_depth = 8};
  if (type == "VP8 ") {
    require(file.text(data + 3, 3) == "\x9D\x01\x2A", ErrorKind::data, "broken WebP: no key frame");
    header.width = file.u16(data + 6) & 0x3FFF;
    header.height = file.u16(data + 8) & 0x3FFF;
  } else if (type == "VP8L") {
    const uint32_t sizes = file.u32(data + 1);  // 14 bits width − 1, 14 bits height − 1, alpha, version
    require(file.u8(data) == 0x2F && sizes >> 29 == 0, ErrorKind::data, "broken WebP: lossless header");
    header.width = (sizes & 0x3FFF) + 1;
    header.height = (sizes >> 14 & 0x3FFF) + 1;
    header.channels = (sizes >> 28 & 1) != 0 ? 4 : 3;
  } else if (type == "VP8X") {
    const int flags = file.u8(data);
    require((flags & 0x02) == 0, ErrorKind::data, "animated WebP is not read");
    header.width = u24(file, data + 4) + 1;
    header.height = u24(file, data + 7) + 1;
    header.channels = (flags & 0x10) != 0 ? 4 : 3;
  } else {
    fail(ErrorKind::data, "broken WebP: first chunk '{}'", printable(type));
  }
  for (uint64_t at = kFirstChunk; at + 8 <= file.size(); at += 8 + padded(file.u32(at + 4))) {
    const uint64_t size = file.u32(at + 4);
    if (file.text(at, 4) != "EXIF" || size > file.size() - at - 8) continue;
    const bool prefixed = size >= 6 && file.text(at + 8, 4) == "Exif";
    header.orientation = exif_orientation(file.slice(at + 8, size).subspan(prefixed ? 6 : 0));
  }
  return header;
}

void check_webp(Bytes bytes) {
  const ByteView file = webp_view(bytes);
  const uint64_t end = 8 + uint64_t{file.u32(4)};
  file.slice(0, end);
  for (uint64_t at = kFirstChunk; at + 8 <= end; at += 8 + padded(file.u32(at + 4))) {
    const uint64_t size = file.u32(at + 4);
    require(size <= end - at - 8, ErrorKind::data, "broken WebP: chunk '{}' of {} bytes at {}",
            printable(file.text(at, 4)), size, at);
  }
}

}  // namespace fovea::formats
