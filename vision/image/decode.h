// From a file to pixels, equal to Pillow's Image.open(path).convert("RGB").
//
// The rules: EXIF orientation is ignored unless asked for (timm and Hugging Face ignore it), but TIFF's own tag is
// always applied, as by libtiff and Pillow; alpha is dropped, not composed; a palette is looked up and its transparency
// dropped; grey becomes three equal channels; 1, 2 and 4 bit are spread over 0…255; 16 bit colour keeps its high byte;
// ink (CMYK, YCCK) is within 2 levels of Pillow's. One exception from Pillow, which clips it: 16 bit grey is scaled,
// value/257 rounded. A picture inside a multi-image file (MPO, TIFF, animated PNG) is the first. Refused with a reason:
// GIF, animated WebP, arithmetic-coded, lossless or 12 bit JPEG, 16 bit BMP, BigTIFF, TIFF with premultiplied alpha, of
// floats or of Lab colours, and every other format.
//
// A JPEG without its end marker is accepted with a warning when its last scan is complete, else refused as truncated:
// it is complete when the picture does not depend on what bytes would follow.
//
// The build with OpenCV reads JPEG, PNG, WebP, BMP and TIFF. The one without reads JPEG and PNG; its JPEG pixels differ
// from Pillow's by up to 18 levels where chroma is subsampled.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "fovea/vision/image/image.h"
#include "fovea/vision/image/probe.h"

namespace fovea {

struct DecodeOptions {
  int64_t max_pixels = kDefaultMaxPixels;
  bool apply_exif = false;  // turn the picture upright as its EXIF orientation says
};

// A whole file in memory → RGB. Throws Error: data (what is wrong with the content) or resource (over max_pixels).
Image decode_image(std::span<const uint8_t> bytes, const DecodeOptions& options = {});

// The same from a file (regular, or a pipe). Messages start with the path: "photo.jpg: truncated JPEG". Throws also
// Error(io) where the file cannot be opened or read, with the system's reason.
Image load_image(const std::string& path, const DecodeOptions& options = {});

}  // namespace fovea
