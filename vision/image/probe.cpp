#include "fovea/vision/image/probe.h"

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/vision/image/formats.h"

namespace fovea {
namespace {

using formats::Bytes;

// libpng's own limit; OpenCV's is 2^20.
constexpr int64_t kMaxSide = 1'000'000;

struct Magic {
  size_t offset;
  std::string_view bytes;
};

struct Reader {
  Magic magic;
  ImageHeader (*probe)(Bytes);
};

using namespace std::string_view_literals;

constexpr Reader kReaders[] = {
    {{0, "\xFF\xD8\xFF"sv}, formats::probe_jpeg}, {{0, "\x89PNG\r\n\x1A\n"sv}, formats::probe_png},
    {{8, "WEBP"sv}, formats::probe_webp},         {{0, "BM"sv}, formats::probe_bmp},
    {{0, "II\x2A\0"sv}, formats::probe_tiff},     {{0, "MM\0\x2A"sv}, formats::probe_tiff},
};

struct Refused {
  Magic magic;
  std::string_view name;
};

constexpr Refused kRefused[] = {
    {{0, "GIF87a"sv}, "GIF"},
    {{0, "GIF89a"sv}, "GIF"},
    {{0, "II\x2B\0"sv}, "BigTIFF"},
    {{0, "MM\0\x2B"sv}, "BigTIFF"},
    {{0, "\0\0\0\x0CjP  "sv}, "JPEG 2000"},
    {{0, "\xFF\x4F\xFF\x51"sv}, "JPEG 2000"},
    {{0, "\0\0\0\x0CJXL "sv}, "JPEG XL"},
    {{0, "\xFF\x0A"sv}, "JPEG XL"},
    {{4, "ftypavi"sv}, "AVIF"},
    {{4, "ftyphei"sv}, "HEIF"},
    {{4, "ftyphev"sv}, "HEIF"},
    {{4, "ftypmif1"sv}, "HEIF"},
    {{0, "\0\0\x01\0"sv}, "ICO"},
    {{0, "8BPS"sv}, "PSD"},
    {{0, "v/1\x01"sv}, "OpenEXR"},
    {{0, "#?RADIANCE"sv}, "Radiance HDR"},
    {{0, "DDS "sv}, "DDS"},
    {{0, "qoif"sv}, "QOI"},
    {{0, "%PDF"sv}, "PDF"},
    {{0, "P1\n"sv}, "PNM"},
    {{0, "P2\n"sv}, "PNM"},
    {{0, "P3\n"sv}, "PNM"},
    {{0, "P4\n"sv}, "PNM"},
    {{0, "P5\n"sv}, "PNM"},
    {{0, "P6\n"sv}, "PNM"},
    {{0, "P7\n"sv}, "PNM"},
};

bool matches(Bytes bytes, const Magic& magic) {
  if (bytes.size() < magic.offset + magic.bytes.size()) return false;
  return std::equal(magic.bytes.begin(), magic.bytes.end(), bytes.begin() + magic.offset,
                    [](char expected, uint8_t actual) { return static_cast<uint8_t>(expected) == actual; });
}

const Reader* find_reader(Bytes bytes) {
  return std::ranges::find_if(kReaders, [&](const Reader& row) { return matches(bytes, row.magic); });
}

[[noreturn]] void refuse(Bytes bytes) {
  require(!bytes.empty(), ErrorKind::data, "empty file");
  for (const Refused& row : kRefused) {
    require(!matches(bytes, row.magic), ErrorKind::data, "{} images are not read", row.name);
  }
  // TGA has no magic at its start; version 2 has one in its last 18 bytes.
  constexpr auto tga = "TRUEVISION-XFILE.\0"sv;
  require(bytes.size() < tga.size() || !matches(bytes.last(tga.size()), {0, tga}), ErrorKind::data,
          "TGA images are not read");
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), 4));
  fail(ErrorKind::data, "not an image (starts with '{}')", printable(start));
}

}  // namespace

std::string_view format_name(ImageFormat format) {
  switch (format) {
    case ImageFormat::jpeg:
      return "JPEG";
    case ImageFormat::png:
      return "PNG";
    case ImageFormat::webp:
      return "WebP";
    case ImageFormat::bmp:
      return "BMP";
    case ImageFormat::tiff:
      return "TIFF";
  }
  fail(ErrorKind::internal, "format_name: unknown format {}", static_cast<int>(format));
}

bool starts_as_image(std::span<const uint8_t> bytes) {
  return find_reader(bytes) != std::end(kReaders);
}

ImageHeader probe_image(std::span<const uint8_t> bytes, int64_t max_pixels) {
  const Reader* const reader = find_reader(bytes);
  if (reader == std::end(kReaders)) refuse(bytes);
  const ImageHeader header = reader->probe(bytes);
  require(header.width > 0 && header.height > 0, ErrorKind::data, "{} of {}x{} pixels", format_name(header.format),
          header.width, header.height);
  // Sides are below 2^32, so their product may leave int64: divide.
  require(header.width <= max_pixels / header.height, ErrorKind::resource,
          "{}x{} exceeds limit {:.4g} Mpx (--max-pixels)", header.width, header.height,
          static_cast<double>(max_pixels) / 1e6);
  require(std::max(header.width, header.height) <= kMaxSide, ErrorKind::resource,
          "{}x{} exceeds limit {} pixels a side", header.width, header.height, kMaxSide);
  return header;
}

ImageStructure check_structure(std::span<const uint8_t> bytes, const ImageHeader& header) {
  switch (header.format) {
    case ImageFormat::jpeg:
      return formats::check_jpeg(bytes);
    case ImageFormat::png:
      formats::check_png(bytes, header);
      break;
    case ImageFormat::webp:
      formats::check_webp(bytes);
      break;
    case ImageFormat::bmp:
      formats::check_bmp(bytes, header);
      break;
    case ImageFormat::tiff:
      formats::check_tiff(bytes);
      break;
  }
  return {};
}

}  // namespace fovea
