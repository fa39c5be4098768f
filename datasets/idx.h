// The IDX format of MNIST and its relatives: arrays of bytes, plain or gzipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace fovea {

// Row-major unsigned bytes.
struct IdxArray {
  std::vector<int64_t> shape;
  std::vector<uint8_t> values;
};

// File: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a big-endian u32, then
// the values. Throws Error(data) where the magic number is not that of `dimensions` (1 … 255) of unsigned bytes, where
// values are missing or left over, and for a damaged gzip stream; Error(resource) above 4 GiB; Error(io) where the file
// cannot be read. Memory grows with what is there, not with what the header says.
// http://yann.lecun.com/exdb/mnist/
IdxArray read_idx(const std::filesystem::path& path, int dimensions);

}  // namespace fovea
