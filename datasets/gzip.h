// Reading a file that may be compressed with gzip, piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace fovea {

// Bytes of a file, unpacked where it begins with gzip's magic: several members count as one stream, each is checked
// against its CRC-32 and length (RFC 1952). Memory stays constant, whatever the file unpacks to.
class GzipReader {
 public:
  // Throws Error(io) for a file that cannot be read or is a directory.
  explicit GzipReader(const std::filesystem::path& path);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  // Fills the span from the stream and returns how much there was, less only at its end. Throws Error(data) for a cut
  // or damaged stream, Error(io) where reading fails.
  size_t read(std::span<uint8_t> to);

 private:
  struct Inflater;
  size_t read_packed(std::span<uint8_t> to);
  bool fill();  // false at the end of the file

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::vector<uint8_t> input_;
  size_t begin_ = 0;  // unread part of input_
  size_t end_ = 0;
  std::unique_ptr<Inflater> inflater_;  // null for a plain file
};

}  // namespace fovea
