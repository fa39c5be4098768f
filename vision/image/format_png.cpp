// PNG (third edition), https://www.w3.org/TR/png-3/
#include <zlib.h>

#include <algorithm>
#include <array>

#include "fovea/vision/image/formats.h"

namespace fovea::formats {
namespace {

constexpr uint64_t kSignatureSize = 8;

struct Chunk {
  std::string_view type;
  uint64_t at = 0;  // of its length field
  Bytes data;
};

ByteView png_view(Bytes bytes) {
  return {bytes, ImageFormat::png, std::endian::big};
}

Chunk chunk_at(Bytes bytes, uint64_t at) {
  const ByteView file = png_view(bytes);
  const uint32_t length = file.u32(at);
  const std::string_view type = file.text(at + 4, 4);
  require(length <= 0x7FFFFFFF && std::ranges::all_of(type, [](char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }),
          ErrorKind::data, "broken PNG: chunk '{}' of {} bytes at {}", printable(type), length, at);
  return {type, at, file.slice(at + 8, length)};
}

uint64_t after(const Chunk& chunk) {
  return chunk.at + 12 + chunk.data.size();
}

bool checksum_fits(Bytes bytes, const Chunk& chunk) {
  const Bytes covered = png_view(bytes).slice(chunk.at + 4, 4 + chunk.data.size());
  return crc32_z(0, covered.data(), covered.size()) == png_view(bytes).u32(after(chunk) - 4);
}

bool critical(const Chunk& chunk) {
  return (chunk.type[0] & 32) == 0;
}

int64_t bits_per_pixel(const ImageHeader& header) {
  return header.channels * header.bit_depth;
}

bool valid_depth(int colour, int depth) {
  switch (colour) {
    case 0:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
    case 3:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8;
    case 2:
    case 4:
    case 6:
      return depth == 8 || depth == 16;
    default:
      return false;
  }
}

// The filtered rows of a PNG as they lie in its packed stream: Adam7 has up to seven passes.
struct Pass {
  int64_t rows = 0;
  int64_t row_bytes = 0;  // with the filter byte
};

std::vector<Pass> passes(const ImageHeader& header, bool interlaced) {
  struct Grid {
    int64_t x, y, step_x, step_y;
  };
  static constexpr Grid kWhole[] = {{0, 0, 1, 1}};
  static constexpr Grid kAdam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                    {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  std::vector<Pass> result;
  for (const Grid& grid : interlaced ? std::span<const Grid>(kAdam7) : std::span<const Grid>(kWhole)) {
    const int64_t columns = (header.width - grid.x + grid.step_x - 1) / grid.step_x;
    const int64_t rows = (header.height - grid.y + grid.step_y - 1) / grid.step_y;
    if (columns > 0 && rows > 0) result.push_back({rows, 1 + (columns * bits_per_pixel(header) + 7) / 8});
  }
  return result;
}

// Unpacks the concatenated IDAT chunks row by row and keeps nothing.
class RowReader {
 public:
  explicit RowReader(std::vector<Bytes> parts) : parts_(std::move(parts)) {
    require(inflateInit(&stream_) == Z_OK, ErrorKind::resource, "PNG: no memory to unpack");
  }
  ~RowReader() { inflateEnd(&stream_); }
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  void read(std::vector<uint8_t>& row) {
    stream_.next_out = row.data();
    stream_.avail_out = static_cast<uInt>(row.size());
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0 && next_ < parts_.size()) {
        stream_.next_in = const_cast<uint8_t*>(parts_[next_].data());  // zlib reads it only
        stream_.avail_in = static_cast<uInt>(parts_[next_++].size());
      }
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_OK || (status == Z_BUF_ERROR && next_ < parts_.size())) continue;
      require(stream_.avail_out == 0 || (status != Z_STREAM_END && status != Z_BUF_ERROR), ErrorKind::data,
              "truncated PNG: its image data ends early");
      require(stream_.avail_out == 0, ErrorKind::data, "broken PNG: image data: {}",
              stream_.msg != nullptr ? stream_.msg : "cannot be unpacked");
    }
  }

 private:
  std::vector<Bytes> parts_;
  size_t next_ = 0;
  z_stream stream_{};
};

}  // namespace

ImageHeader probe_png(Bytes bytes) {
  const Chunk chunk = chunk_at(bytes, kSignatureSize);
  require(chunk.type == "IHDR" && chunk.data.size() == 13, ErrorKind::data, "broken PNG: IHDR is not first");
  require(checksum_fits(bytes, chunk), ErrorKind::data, "broken PNG: checksum of IHDR");
  const ByteView ihdr = png_view(chunk.data);
  const int depth = ihdr.u8(8);
  const int colour = ihdr.u8(9);
  require(valid_depth(colour, depth), ErrorKind::data, "broken PNG: colour type {} with {} bits", colour, depth);
  require(ihdr.u8(10) == 0 && ihdr.u8(11) == 0 && ihdr.u8(12) <= 1, ErrorKind::data,
          "broken PNG: compression {}, filter {}, interlace {}", ihdr.u8(10), ihdr.u8(11), ihdr.u8(12));
  static constexpr std::array<int64_t, 7> kChannels = {1, 0, 3, 1, 2, 0, 4};  // by colour type
  ImageHeader header{.format = ImageFormat::png,
                     .width = ihdr.u32(0),
                     .height = ihdr.u32(4),
                     .channels = kChannels[colour],
                     .bit_depth = depth,
                     .palette = colour == 3};
  // EXIF stands anywhere between IHDR and IEND; of the first bytes alone, it may be out of reach.
  for (uint64_t at = after(chunk); at + 12 <= bytes.size();) {
    const uint64_t length = png_view(bytes).u32(at);
    const std::string_view type = png_view(bytes).text(at + 4, 4);
    if (type == "IEND" || length > bytes.size() - at - 12) break;
    if (type == "eXIf") header.orientation = exif_orientation(bytes.subspan(at + 8, length));
    at += 12 + length;
  }
  return header;
}

void check_png(Bytes bytes, const ImageHeader& header) {
  bool palette = false;
  bool packed_ended = false;
  std::vector<Bytes> packed;
  Chunk chunk = chunk_at(bytes, kSignatureSize);
  const bool interlaced = chunk.data[12] == 1;
  while (chunk.type != "IEND") {
    chunk = chunk_at(bytes, after(chunk));
    require(!critical(chunk) || checksum_fits(bytes, chunk), ErrorKind::data, "broken PNG: checksum of {} at {}",
            chunk.type, chunk.at);
    if (chunk.type == "IDAT") {
      require(!packed_ended, ErrorKind::data, "broken PNG: IDAT chunks are apart");
      packed.push_back(chunk.data);
      continue;
    }
    packed_ended = !packed.empty();
    if (chunk.type == "PLTE") {
      const size_t size = chunk.data.size();
      require(!palette && !packed_ended && size > 0 && size % 3 == 0 && size <= 768, ErrorKind::data,
              "broken PNG: palette of {} bytes", size);
      palette = true;
    } else {
      require(!critical(chunk) || chunk.type == "IEND", ErrorKind::data, "broken PNG: unknown critical chunk {}",
              chunk.type);
    }
  }
  require(!packed.empty(), ErrorKind::data, "broken PNG: no image data (IDAT)");
  require(palette || !header.palette, ErrorKind::data, "broken PNG: no palette (PLTE)");

  RowReader rows(std::move(packed));
  std::vector<uint8_t> row;
  for (const Pass& pass : passes(header, interlaced)) {
    row.resize(pass.row_bytes);
    for (int64_t y = 0; y < pass.rows; ++y) {
      rows.read(row);
      require(row[0] <= 4, ErrorKind::data, "broken PNG: row filter {}", row[0]);
    }
  }
}

std::vector<uint8_t> png_essentials(Bytes bytes, const ImageHeader& header) {
  std::vector<uint8_t> result(bytes.begin(), bytes.begin() + kSignatureSize);
  result.reserve(bytes.size() + 1024);
  const auto append_u32 = [&](uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) result.push_back(static_cast<uint8_t>(value >> shift));
  };
  for (Chunk chunk{"", 0, {}}; chunk.type != "IEND";) {
    chunk = chunk_at(bytes, chunk.at == 0 ? kSignatureSize : after(chunk));
    if (chunk.type == "PLTE" && header.palette) {
      std::vector<uint8_t> entries(chunk.data.begin(), chunk.data.end());
      entries.resize(3 << header.bit_depth);
      append_u32(static_cast<uint32_t>(entries.size()));
      const size_t type_at = result.size();
      result.insert(result.end(), chunk.type.begin(), chunk.type.end());
      result.insert(result.end(), entries.begin(), entries.end());
      append_u32(static_cast<uint32_t>(crc32_z(0, result.data() + type_at, result.size() - type_at)));
    } else if (chunk.type == "IHDR" || chunk.type == "IDAT" || chunk.type == "IEND") {
      const Bytes whole = bytes.subspan(chunk.at, 12 + chunk.data.size());
      result.insert(result.end(), whole.begin(), whole.end());
    }
  }
  return result;
}

}  // namespace fovea::formats
