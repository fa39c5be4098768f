// JPEG: the segments and scans of ITU-T T.81, https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B.
#include <algorithm>
#include <array>
#include <optional>

#include "fovea/vision/image/formats.h"

namespace fovea::formats {
namespace {

enum Marker : uint8_t {
  SOF0 = 0xC0,
  SOF2 = 0xC2,
  DHT = 0xC4,
  JPG = 0xC8,
  SOF9 = 0xC9,
  DAC = 0xCC,
  SOF15 = 0xCF,
  RST0 = 0xD0,
  SOI = 0xD8,
  EOI = 0xD9,
  SOS = 0xDA,
  APP1 = 0xE1,
  TEM = 0x01,
};

constexpr int kMaxScans = 1000;  // a progressive picture has about ten; each costs a pass over all pixels

ByteView jpeg_view(Bytes bytes) {
  return {bytes, ImageFormat::jpeg, std::endian::big};
}

bool starts_frame(uint8_t marker) {
  return marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != JPG && marker != DAC;
}

bool stands_alone(uint8_t marker) {
  return marker == TEM || (marker >= RST0 && marker <= EOI);
}

struct Segment {
  uint8_t marker = 0;
  Bytes data;         // without marker and length
  uint64_t next = 0;  // where the next marker is looked for
};

// The next marker at or behind `at`; none where the bytes end first. Fill bytes, restart markers and stuffed zeros are
// part of what is skipped, so that this also leads over the entropy-coded data of a scan.
std::optional<Segment> next_segment(Bytes bytes, uint64_t at) {
  while (at < bytes.size()) {
    at = std::find(bytes.begin() + at, bytes.end(), 0xFF) - bytes.begin();
    while (at < bytes.size() && bytes[at] == 0xFF) ++at;
    if (at >= bytes.size()) return std::nullopt;
    const uint8_t marker = bytes[at++];
    if (marker == 0 || (marker >= RST0 && marker < SOI)) continue;
    if (stands_alone(marker)) return Segment{marker, {}, at};
    const uint64_t length = jpeg_view(bytes).u16(at);
    require(length >= 2, ErrorKind::data, "broken JPEG: segment of {} bytes", length);
    return Segment{marker, jpeg_view(bytes).slice(at + 2, length - 2), at + length};
  }
  return std::nullopt;
}

ImageHeader frame_header(const Segment& segment) {
  require(segment.marker < SOF9, ErrorKind::data, "arithmetic-coded JPEG is not read");
  require(segment.marker <= SOF2, ErrorKind::data, "lossless or hierarchical JPEG is not read");
  const ByteView frame = jpeg_view(segment.data);
  const int precision = frame.u8(0);
  require(precision == 8, ErrorKind::data, "{}-bit JPEG is not read", precision);
  const int components = frame.u8(5);
  require(components == 1 || components == 3 || components == 4, ErrorKind::data, "broken JPEG: {} colour components",
          components);
  require(segment.data.size() == 6u + 3u * components, ErrorKind::data, "broken JPEG: frame header of {} bytes",
          segment.data.size());
  return {.format = ImageFormat::jpeg,
          .width = frame.u16(3),
          .height = frame.u16(1),
          .channels = components,
          .bit_depth = 8};
}

// Which bits of which coefficients the scans so far have brought: a sequential scan brings all of its components', a
// progressive one a band of coefficients down to a bit.
class Coverage {
 public:
  void start(const Segment& frame) {
    require(!started(), ErrorKind::data, "broken JPEG: two frame headers");
    progressive_ = frame.marker == SOF2;
    const ByteView header = jpeg_view(frame.data);
    for (int i = 0; i < header.u8(5); ++i) {
      components_.push_back({header.u8(6 + 3 * i), {}});
      components_.back().lowest_bit.fill(kMissing);
    }
  }

  bool started() const { return !components_.empty(); }

  void add(const Segment& scan) {
    require(started(), ErrorKind::data, "broken JPEG: a scan before the frame header");
    const ByteView header = jpeg_view(scan.data);
    const int count = header.u8(0);
    require(count >= 1 && count <= 4 && header.size() == 4u + 2u * count, ErrorKind::data,
            "broken JPEG: scan header of {} bytes", header.size());
    const int first = progressive_ ? header.u8(1 + 2 * count) : 0;
    const int last = progressive_ ? header.u8(2 + 2 * count) : 63;
    const int bit = progressive_ ? header.u8(3 + 2 * count) & 15 : 0;
    require(first <= last && last < 64, ErrorKind::data, "broken JPEG: scan of coefficients {} to {}", first, last);
    for (int i = 0; i < count; ++i) {
      const uint8_t id = header.u8(1 + 2 * i);
      const auto component = std::ranges::find(components_, id, &Component::id);
      require(component != components_.end(), ErrorKind::data, "broken JPEG: scan of unknown component {}", id);
      std::fill(component->lowest_bit.begin() + first, component->lowest_bit.begin() + last + 1, bit);
    }
  }

  bool complete() const {
    return std::ranges::all_of(components_, [](const Component& component) {
      return std::ranges::all_of(component.lowest_bit, [](int bit) { return bit == 0; });
    });
  }

 private:
  static constexpr int kMissing = 16;
  struct Component {
    uint8_t id = 0;
    std::array<int, 64> lowest_bit;
  };
  bool progressive_ = false;
  std::vector<Component> components_;
};

// A segment of Huffman tables: class and number, how many codes of 1 … 16 bits, their symbols. Decoders trust the
// counts.
void check_huffman_tables(const Segment& segment) {
  const ByteView tables = jpeg_view(segment.data);
  for (uint64_t at = 0; at < tables.size();) {
    uint64_t symbols = 0;
    for (uint64_t length = 1; length <= 16; ++length) symbols += tables.u8(at + length);
    require(symbols <= 256, ErrorKind::data, "broken JPEG: a Huffman table of {} symbols", symbols);
    tables.slice(at, 17 + symbols);
    at += 17 + symbols;
  }
}

}  // namespace

ImageHeader probe_jpeg(Bytes bytes) {
  using namespace std::string_view_literals;
  constexpr auto exif = "Exif\0\0"sv;
  std::optional<ImageHeader> header;
  int64_t orientation = 1;
  std::optional<Segment> segment = next_segment(bytes, 2);
  while (segment && segment->marker != SOS && segment->marker != EOI) {
    if (starts_frame(segment->marker)) {
      require(!header, ErrorKind::data, "broken JPEG: two frame headers");
      header = frame_header(*segment);
    } else if (segment->marker == APP1 && segment->data.size() >= exif.size() &&
               jpeg_view(segment->data).text(0, exif.size()) == exif) {
      orientation = exif_orientation(segment->data.subspan(exif.size()));
    }
    segment = next_segment(bytes, segment->next);
  }
  require(header.has_value(), ErrorKind::data, "{} JPEG: no frame header", segment ? "broken" : "truncated");
  header->orientation = orientation;
  return *header;
}

ImageStructure check_jpeg(Bytes bytes) {
  Coverage coverage;
  int scans = 0;
  for (std::optional<Segment> segment = next_segment(bytes, 2); segment; segment = next_segment(bytes, segment->next)) {
    if (segment->marker == EOI) {
      require(scans > 0, ErrorKind::data, "broken JPEG: no image data");
      return {};
    }
    if (starts_frame(segment->marker)) coverage.start(*segment);
    if (segment->marker == DHT) check_huffman_tables(*segment);
    if (segment->marker != SOS) continue;
    require(++scans <= kMaxScans, ErrorKind::data, "broken JPEG: more than {} scans", kMaxScans);
    coverage.add(*segment);
  }
  require(coverage.started() && coverage.complete(), ErrorKind::data, "truncated JPEG");
  return {.end_missing = true};
}

}  // namespace fovea::formats
