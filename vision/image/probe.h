// What an image file is, from its header: no decoding, no LibTorch, no codec library. The format is known by its magic
// bytes, never by a file's name. Sizes are checked against a cap here, before anything is allocated for pixels, and
// files that decoders would silently complete (cut off, broken checksums) are refused.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

enum class ImageFormat { jpeg, png, webp, bmp, tiff };

std::string_view format_name(ImageFormat format);  // "JPEG"

inline constexpr int64_t kDefaultMaxPixels = 64'000'000;

struct ImageHeader {
  ImageFormat format = ImageFormat::jpeg;
  int64_t width = 0;  // pixels, as stored: orientation not applied
  int64_t height = 0;
  int64_t channels = 0;   // as stored: palette 1, grey 1, grey + alpha 2, RGB 3, RGBA or CMYK 4
  int64_t bit_depth = 0;  // bits per channel (of the index where there is a palette)
  bool palette = false;
  int64_t orientation = 1;  // EXIF: 1 upright … 8; a missing, broken or unknown value is 1
};

// Whether the bytes start as those of a format that is read, whatever comes then.
bool starts_as_image(std::span<const uint8_t> bytes);

// The header of a whole file or of its first bytes. Throws Error: data for what is no image ("not an image (starts with
// '<!DO')"), is of a format or variant that is not read (GIF, animated WebP, arithmetic-coded JPEG, …) or has a broken
// or incomplete header; resource for more than max_pixels pixels or a side over 1,000,000.
ImageHeader probe_image(std::span<const uint8_t> bytes, int64_t max_pixels = kDefaultMaxPixels);

// Walks the structure of a whole file and throws Error(data) where it is cut off or broken: PNG chunks, the checksums
// of critical ones, IEND and the length of the packed rows; JPEG segments and scans; RIFF, BMP and TIFF extents.
struct ImageStructure {
  // JPEG only: no end marker. The last scan may or may not be complete, which decode_image finds out.
  bool end_missing = false;
};
ImageStructure check_structure(std::span<const uint8_t> bytes, const ImageHeader& header);

}  // namespace fovea
