#include "fovea/vision/image/decode.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <system_error>

#include "fovea/modules/error.h"
#include "fovea/vision/image/backend.h"
#include "fovea/vision/image/formats.h"
#include "fovea/vision/image/orientation.h"
#include "fovea/vision/image/stb.h"

namespace fovea {
namespace {

using formats::Bytes;

// The JPEG closed by an end marker, with other bytes before it.
std::vector<uint8_t> closed_jpeg(Bytes bytes, Bytes tail) {
  size_t size = bytes.size();
  while (size > 0 && bytes[size - 1] == 0xFF) --size;  // half of the end marker
  std::vector<uint8_t> result(bytes.begin(), bytes.begin() + size);
  result.insert(result.end(), tail.begin(), tail.end());
  result.insert(result.end(), {0xFF, 0xD9});
  return result;
}

// A JPEG without end marker, closed by one if its last scan is complete. A decoder that runs out of data goes on with
// zeros; where the scan is incomplete, other data give another picture.
std::vector<uint8_t> close_jpeg(Bytes bytes) {
  std::vector<uint8_t> closed = closed_jpeg(bytes, {});
  const auto expected = stb_decode<uint8_t>(closed);
  require(expected.has_value(), ErrorKind::data, "truncated JPEG");
  std::mt19937 random;
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::array<uint8_t, 256> noise;
    for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random() % 255);  // never 0xFF
    const auto other = stb_decode<uint8_t>(closed_jpeg(bytes, noise));
    require(other == expected, ErrorKind::data, "truncated JPEG");
  }
  return closed;
}

// A file descriptor that closes itself.
class File {
 public:
  explicit File(const std::string& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) fail_with_errno();
  }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  struct stat status() const {
    struct stat result {};
    if (::fstat(descriptor_, &result) != 0) fail_with_errno();
    return result;
  }

  // Up to size bytes; 0 at the end.
  size_t read(uint8_t* to, size_t size) const {
    for (;;) {
      const ssize_t count = ::read(descriptor_, to, size);
      if (count >= 0) return static_cast<size_t>(count);
      if (errno != EINTR) fail_with_errno();
    }
  }

 private:
  [[noreturn]] static void fail_with_errno() { fail(ErrorKind::io, "{}", std::generic_category().message(errno)); }

  int descriptor_;
};

std::vector<uint8_t> read_file(const std::string& path, int64_t max_pixels) {
  // No picture within the cap is larger than its pixels unpacked at 16 bits with alpha, room for metadata added.
  const int64_t max_bytes = 8 * std::min(max_pixels, int64_t{1} << 50) + (int64_t{64} << 20);
  const File file(path);
  const struct stat before = file.status();
  require(!S_ISDIR(before.st_mode), ErrorKind::io, "is a directory");
  const bool regular = S_ISREG(before.st_mode);
  require(regular || S_ISFIFO(before.st_mode), ErrorKind::io, "is neither a file nor a pipe");
  const auto check_size = [&](int64_t size) {
    require(size <= max_bytes, ErrorKind::resource, "a file of over {} MB, more than {:.4g} Mpx take (--max-pixels)",
            max_bytes / 1'000'000, static_cast<double>(max_pixels) / 1e6);
  };
  if (regular) check_size(before.st_size);
  std::vector<uint8_t> bytes(regular ? before.st_size + 1 : 1 << 16);
  size_t size = 0;
  while (const size_t count = file.read(bytes.data() + size, bytes.size() - size)) {
    size += count;
    check_size(static_cast<int64_t>(size));
    if (size == bytes.size()) bytes.resize(2 * size);
  }
  require(!regular || static_cast<int64_t>(size) == before.st_size, ErrorKind::data,
          "the file changed while it was read: {} bytes, then {}", before.st_size, size);
  bytes.resize(size);
  return bytes;
}

Image decode(Bytes bytes, const DecodeOptions& options, const std::string& name) {
  const ImageHeader header = probe_image(bytes, options.max_pixels);
  std::vector<uint8_t> rewritten;
  if (check_structure(bytes, header).end_missing) {
    rewritten = close_jpeg(bytes);
    spdlog::warn("{}: JPEG without an end marker", name);
  } else if (header.format == ImageFormat::png) {
    rewritten = formats::png_essentials(bytes, header);
  } else if (header.format == ImageFormat::tiff && header.channels == 4) {
    rewritten = formats::tiff_without_alpha(bytes);
  }
  Image image = decode_pixels(rewritten.empty() ? bytes : Bytes(rewritten), header);
  const bool turn = options.apply_exif && header.format != ImageFormat::tiff;
  return turn ? upright(std::move(image), header.orientation) : image;
}

}  // namespace

Image decode_image(std::span<const uint8_t> bytes, const DecodeOptions& options) {
  return decode(bytes, options, "image");
}

Image load_image(const std::string& path, const DecodeOptions& options) {
  const std::string name = printable(path);
  try {
    return decode(read_file(path, options.max_pixels), options, name);
  } catch (const Error& error) {
    throw Error(error.kind(), name + ": " + error.what());
  }
}

}  // namespace fovea
