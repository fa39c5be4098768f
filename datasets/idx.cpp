#include "fovea/datasets/idx.h"

#include <algorithm>
#include <array>

#include "fovea/datasets/gzip.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr uint64_t max_bytes = uint64_t{1} << 32;
constexpr uint64_t piece = uint64_t{1} << 24;

uint32_t read_u32(GzipReader& reader, const std::string& name) {
  std::array<uint8_t, 4> bytes;
  require(reader.read(bytes) == bytes.size(), ErrorKind::data, "{}: truncated IDX header", name);
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& path, int dimensions) {
  const std::string name = printable(path.string());
  GzipReader reader(path);
  const uint32_t expected = 0x800 + static_cast<uint32_t>(dimensions);
  const uint32_t magic = read_u32(reader, name);
  require(magic == expected, ErrorKind::data, "{}: IDX magic number {}, expected {} (unsigned bytes, {} dimensions)",
          name, magic, expected, dimensions);
  IdxArray array;
  uint64_t total = 1;
  for (int i = 0; i < dimensions; ++i) {
    array.shape.push_back(read_u32(reader, name));
    const auto size = static_cast<uint64_t>(array.shape.back());
    require(size == 0 || total <= max_bytes / size, ErrorKind::resource, "{}: the header declares more than 4 GiB",
            name);
    total *= size;
  }
  while (array.values.size() < total) {
    const size_t begin = array.values.size();
    array.values.resize(std::min(total, begin + piece));
    const size_t got = reader.read(std::span(array.values).subspan(begin));
    require(begin + got == array.values.size(), ErrorKind::data, "{}: {} values, the header declares {}", name,
            begin + got, total);
  }
  uint8_t extra;
  require(reader.read({&extra, 1}) == 0, ErrorKind::data, "{}: bytes after the {} values that the header declares",
          name, total);
  return array;
}

}  // namespace fovea
