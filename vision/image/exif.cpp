// The one EXIF tag that decides how a picture stands. JEITA CP-3451, EXIF 2.32, section 4.6.
#include "fovea/vision/image/formats.h"

namespace fovea::formats {

int64_t exif_orientation(Bytes tiff) {
  constexpr uint16_t kOrientationTag = 0x0112;
  constexpr uint16_t kShortType = 3;
  if (tiff.size() < 8 || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M')) return 1;
  const ByteView view(tiff, ImageFormat::tiff, tiff[0] == 'I' ? std::endian::little : std::endian::big);
  const uint64_t directory = view.u32(4);
  if (directory + 2 > view.size()) return 1;
  const uint64_t entries = view.u16(directory);
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t at = directory + 2 + 12 * i;  // tag, type, count, value
    if (at + 12 > view.size()) return 1;
    if (view.u16(at) != kOrientationTag) continue;
    const int64_t value = view.u16(at + 8);
    return view.u16(at + 2) == kShortType && value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

}  // namespace fovea::formats
