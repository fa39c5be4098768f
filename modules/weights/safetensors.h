// The safetensors format: u64 little-endian length N, N bytes of JSON, then the tensors without gaps. The rules are
// those of the reference implementation 0.8 (https://github.com/huggingface/safetensors), verdict for verdict.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/modules/weights/output_file.h"

namespace fovea {

// In the order of the reference, which is that of rising alignment: files store the last first.
enum class SafetensorsType {
  BOOL,
  F4,
  F6_E2M3,
  F6_E3M2,
  U8,
  I8,
  F8_E5M2,
  F8_E4M3,
  F8_E8M0,
  F8_E4M3FNUZ,
  F8_E5M2FNUZ,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  C64,
  F64,
  I64,
  U64,
};

std::string_view name_of(SafetensorsType type);  // "F32"
uint64_t bits_of(SafetensorsType type);          // of one element; 4 and 6 for F4 and F6

struct SafetensorsEntry {
  std::string name;
  SafetensorsType type = SafetensorsType::F32;
  std::vector<uint64_t> shape;  // empty for a scalar
  uint64_t offset = 0;          // bytes from the start of the file
  uint64_t length = 0;          // bytes
};

using SafetensorsMetadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of their data
  SafetensorsMetadata metadata;
};

// Limits of what is read. The second is ours: no more than this many tensors, however short their names.
inline constexpr uint64_t kSafetensorsMaxHeader = 100'000'000;  // bytes
inline constexpr uint64_t kSafetensorsMaxTensors = 500'000;

// `file` is the whole file; `name` stands before the cause in messages. Every byte of the file is accounted for:
// offsets are contiguous from 0 to its end and lengths equal shape × type. Throws Error(data), and Error(resource) for
// more tensors than the limit.
SafetensorsHeader parse_safetensors(std::span<const std::byte> file, std::string_view name);

// Writes tensors one by one, so that no second copy of them is needed.
//
//     SafetensorsWriter writer(path, {{.name = "weight", .type = SafetensorsType::F32, .shape = {2, 3}}}, metadata);
//     for (const SafetensorsEntry& entry : writer.entries()) writer.write(bytes_of(entry.name));
//     writer.commit();
class SafetensorsWriter {
 public:
  // Name, type and shape of each tensor, in any order. Throws Error(usage) for two of one name, the name
  // `__metadata__`, text that is not UTF-8 or a length that is no whole number of bytes.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<SafetensorsEntry> tensors,
                    const SafetensorsMetadata& metadata = {});

  // In the order of the file (alignment descending, then name), with offset and length: the order of the writes.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }

  // The bytes of the next entry, little-endian, row-major, all of them.
  void write(std::span<const std::byte> data);
  // Throws Error(internal) unless every entry was written.
  void commit();

 private:
  std::vector<SafetensorsEntry> entries_;  // before file_: its size comes from them
  std::string header_;
  OutputFile file_;
  size_t next_ = 0;
};

}  // namespace fovea
