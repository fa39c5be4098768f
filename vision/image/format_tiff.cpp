// TIFF 6.0, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf: the first directory and where its pixels
// lie.
#include <algorithm>
#include <optional>

#include "fovea/vision/image/formats.h"

namespace fovea::formats {
namespace {

enum Tag : uint16_t {
  image_width = 256,
  image_height = 257,
  bits_per_sample = 258,
  compression = 259,
  photometric = 262,
  strip_offsets = 273,
  samples_per_pixel = 277,
  strip_sizes = 279,
  tile_offsets = 324,
  tile_sizes = 325,
  extra_samples = 338,
  sample_format = 339,
};

enum Photometric : uint32_t { white_is_zero = 0, black_is_zero = 1, rgb = 2, palette = 3, cmyk = 5, ycbcr = 6 };

constexpr uint32_t kJpegCompression = 7;
constexpr uint32_t kUnsignedSamples = 1;
constexpr uint32_t kUnspecifiedExtra = 0, kPremultipliedAlpha = 1;

class Directory {
 public:
  explicit Directory(Bytes bytes)
      : file_(bytes, ImageFormat::tiff, bytes[0] == 'I' ? std::endian::little : std::endian::big),
        at_(file_.u32(4)),
        entries_(file_.u16(at_)) {}

  const ByteView& file() const { return file_; }

  struct Values {
    uint64_t at = 0;
    uint64_t count = 0;
    uint64_t bytes_each = 0;
  };

  std::optional<Values> find(uint16_t tag) const {
    for (uint64_t i = 0; i < entries_; ++i) {
      const uint64_t entry = at_ + 2 + 12 * i;  // tag, type, count, value or where the values are
      if (file_.u16(entry) != tag) continue;
      const uint16_t type = file_.u16(entry + 2);
      require(type == 3 || type == 4, ErrorKind::data, "broken TIFF: tag {} of type {}", tag, type);
      Values values{.at = entry + 8, .count = file_.u32(entry + 4), .bytes_each = type == 3 ? 2u : 4u};
      if (values.count * values.bytes_each > 4) values.at = file_.u32(values.at);
      require(values.count > 0, ErrorKind::data, "broken TIFF: tag {} is empty", tag);
      file_.slice(values.at, values.count * values.bytes_each);
      return values;
    }
    return std::nullopt;
  }

  uint64_t value(const Values& values, uint64_t index) const {
    const uint64_t at = values.at + index * values.bytes_each;
    return values.bytes_each == 2 ? file_.u16(at) : file_.u32(at);
  }

  uint64_t first(uint16_t tag, uint64_t otherwise) const {
    const std::optional<Values> values = find(tag);
    return values ? value(*values, 0) : otherwise;
  }

 private:
  ByteView file_;
  uint64_t at_;
  uint64_t entries_;
};

// The variants that decode to the same pixels as with Pillow.
bool is_read(const Directory& tags, uint64_t bits, uint64_t samples) {
  const bool byte = bits == 8;
  const bool word = bits == 16;
  switch (tags.first(photometric, white_is_zero)) {
    case white_is_zero:
      return samples == 1 && (bits == 1 || byte);
    case black_is_zero:
      return (samples == 1 && (bits == 1 || byte || word)) || (samples == 2 && byte);
    case rgb:
      return (samples == 3 || samples == 4) && (byte || word);
    case palette:
      return samples == 1 && byte;
    case cmyk:
      return samples == 4 && byte;
    case ycbcr:
      return samples == 3 && byte && tags.first(compression, 1) == kJpegCompression;
    default:
      return false;
  }
}

}  // namespace

ImageHeader probe_tiff(Bytes bytes) {
  const Directory tags(bytes);
  const uint64_t bits = tags.first(bits_per_sample, 1);
  const uint64_t samples = tags.first(samples_per_pixel, 1);
  const uint64_t format = tags.first(sample_format, kUnsignedSamples);
  require(is_read(tags, bits, samples) && format == kUnsignedSamples, ErrorKind::data,
          "TIFF with {} samples of {} bits, photometric {}, sample format {} is not read", samples, bits,
          tags.first(photometric, white_is_zero), format);
  require(tags.first(extra_samples, kUnspecifiedExtra) != kPremultipliedAlpha, ErrorKind::data,
          "TIFF with premultiplied alpha is not read");
  return {.format = ImageFormat::tiff,
          .width = static_cast<int64_t>(tags.first(image_width, 0)),
          .height = static_cast<int64_t>(tags.first(image_height, 0)),
          .channels = static_cast<int64_t>(samples),
          .bit_depth = static_cast<int64_t>(bits),
          .palette = tags.first(photometric, white_is_zero) == palette,
          .orientation = exif_orientation(bytes)};
}

void check_tiff(Bytes bytes) {
  const Directory tags(bytes);
  const bool tiled = tags.find(tile_offsets).has_value();
  const auto offsets = tags.find(tiled ? tile_offsets : strip_offsets);
  const auto sizes = tags.find(tiled ? tile_sizes : strip_sizes);
  require(offsets && sizes && offsets->count == sizes->count, ErrorKind::data, "broken TIFF: no places of its pixels");
  for (uint64_t i = 0; i < offsets->count; ++i) {
    tags.file().slice(tags.value(*offsets, i), tags.value(*sizes, i));
  }
}

std::vector<uint8_t> tiff_without_alpha(Bytes bytes) {
  const Directory tags(bytes);
  std::vector<uint8_t> result(bytes.begin(), bytes.end());
  if (const auto extra = tags.find(extra_samples)) {
    std::fill_n(result.begin() + extra->at, extra->bytes_each, uint8_t{kUnspecifiedExtra});
  }
  return result;
}

}  // namespace fovea::formats
