#include "fovea/modules/weights/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/safetensors_header.h"

namespace fovea {
namespace {

constexpr uint64_t kLengthBytes = 8;

struct TypeInfo {
  std::string_view name;
  uint64_t bits;
};

// Indexed by SafetensorsType.
constexpr TypeInfo kTypes[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
};
static_assert(std::size(kTypes) == static_cast<size_t>(SafetensorsType::U64) + 1);

enum class SizeFault { none, overflow, part_of_a_byte };

// Bytes of `entry` by shape and type. The order of the checked products is the reference's: [2^40, 2^40, 0] overflows.
SizeFault size_of(const SafetensorsEntry& entry, uint64_t& bytes) {
  uint64_t bits = 1;
  for (const uint64_t dimension : entry.shape) {
    if (__builtin_mul_overflow(bits, dimension, &bits)) return SizeFault::overflow;
  }
  if (__builtin_mul_overflow(bits, bits_of(entry.type), &bits)) return SizeFault::overflow;
  if (bits % 8 != 0) return SizeFault::part_of_a_byte;
  bytes = bits / 8;
  return SizeFault::none;
}

// Of two tensors with one name the later counts, as in the reference.
void keep_last_of_each_name(std::vector<SafetensorsEntry>& entries) {
  std::unordered_set<std::string_view> seen;
  seen.reserve(entries.size());
  std::vector<SafetensorsEntry*> kept;
  for (size_t i = entries.size(); i-- > 0;) {
    if (seen.insert(entries[i].name).second) kept.push_back(&entries[i]);
  }
  if (kept.size() == entries.size()) return;
  std::vector<SafetensorsEntry> unique;
  unique.reserve(kept.size());
  for (size_t i = kept.size(); i-- > 0;) unique.push_back(std::move(*kept[i]));
  entries = std::move(unique);
}

// Sorts by place and checks that the data is covered exactly once. `data_begin` is where the data starts in the file.
void check_places(std::vector<SafetensorsEntry>& entries, uint64_t data_begin, uint64_t data_bytes,
                  std::string_view file) {
  std::stable_sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::pair(a.offset, a.length) < std::pair(b.offset, b.length);
  });
  uint64_t place = 0;
  for (SafetensorsEntry& entry : entries) {
    const uint64_t end = entry.length;  // the parser leaves data_offsets here: begin and end
    const auto where = [&] { return fmt::format("{}: tensor {}", file, printable(entry.name)); };
    require(entry.offset == place && end >= place, ErrorKind::data,
            "{}: data_offsets [{}, {}], expected to start at {} (overlap, hole or end before begin)", where(),
            entry.offset, end, place);
    uint64_t bytes = 0;
    const SizeFault fault = size_of(entry, bytes);
    require(fault != SizeFault::overflow, ErrorKind::data, "{}: shape [{}] overflows", where(),
            fmt::join(entry.shape, ","));
    require(fault != SizeFault::part_of_a_byte, ErrorKind::data, "{}: shape [{}] of {} ends inside a byte", where(),
            fmt::join(entry.shape, ","), name_of(entry.type));
    require(end - place == bytes, ErrorKind::data, "{}: shape [{}] of {} takes {} bytes, data_offsets give {}", where(),
            fmt::join(entry.shape, ","), name_of(entry.type), bytes, end - place);
    require(end <= data_bytes, ErrorKind::data, "{}: ends at byte {} of the data, the file has {} (truncated)", where(),
            end, data_bytes);
    entry.offset = data_begin + place;
    entry.length = bytes;
    place = end;
  }
  require(place == data_bytes, ErrorKind::data, "{}: {} bytes follow the last tensor", file, data_bytes - place);
}

std::vector<SafetensorsEntry> in_file_order(std::vector<SafetensorsEntry> tensors, const std::string& file) {
  std::sort(tensors.begin(), tensors.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return a.type != b.type ? a.type > b.type : a.name < b.name;
  });
  require(tensors.size() <= kSafetensorsMaxTensors, ErrorKind::resource, "{}: {} tensors, at most {} can be written",
          file, tensors.size(), kSafetensorsMaxTensors);
  std::unordered_set<std::string_view> names;
  for (SafetensorsEntry& tensor : tensors) {
    const std::string name = printable(tensor.name);
    require(tensor.name != kSafetensorsMetadataKey && names.insert(tensor.name).second, ErrorKind::usage,
            "{}: two tensors, or metadata and a tensor, are named {}", file, name);
    require(size_of(tensor, tensor.length) == SizeFault::none, ErrorKind::usage,
            "{}: tensor {}: shape [{}] of {} is no whole number of bytes", file, name, fmt::join(tensor.shape, ","),
            name_of(tensor.type));
  }
  return tensors;
}

}  // namespace

std::string_view name_of(SafetensorsType type) {
  return kTypes[static_cast<size_t>(type)].name;
}

uint64_t bits_of(SafetensorsType type) {
  return kTypes[static_cast<size_t>(type)].bits;
}

SafetensorsHeader parse_safetensors(std::span<const std::byte> file, std::string_view name) {
  require(file.size() >= kLengthBytes, ErrorKind::data, "{}: {} bytes are too few for a safetensors header", name,
          file.size());
  uint64_t length = 0;
  for (size_t i = kLengthBytes; i-- > 0;) length = length << 8 | std::to_integer<uint64_t>(file[i]);
  require(length <= kSafetensorsMaxHeader, ErrorKind::data,
          "{}: safetensors header of {} bytes, at most {} are allowed", name, length, kSafetensorsMaxHeader);
  require(length <= file.size() - kLengthBytes, ErrorKind::data,
          "{}: safetensors header of {} bytes in a file of {} (truncated)", name, length, file.size());

  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  SafetensorsHeader header = read_safetensors_json(text, name);
  keep_last_of_each_name(header.entries);
  check_places(header.entries, kLengthBytes + length, file.size() - kLengthBytes - length, name);
  return header;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<SafetensorsEntry> tensors,
                                     const SafetensorsMetadata& metadata)
    : entries_(in_file_order(std::move(tensors), printable(path.native()))),
      header_(write_safetensors_json(entries_, metadata, printable(path.native()))),
      file_(path,
            kLengthBytes + header_.size() + (entries_.empty() ? 0 : entries_.back().offset + entries_.back().length)) {
  std::array<std::byte, kLengthBytes> length;
  for (size_t i = 0; i < kLengthBytes; ++i) length[i] = static_cast<std::byte>(header_.size() >> (8 * i));
  file_.write(length);
  file_.write(header_);
  for (SafetensorsEntry& entry : entries_) entry.offset += kLengthBytes + header_.size();
}

void SafetensorsWriter::write(std::span<const std::byte> data) {
  require(next_ < entries_.size() && data.size() == entries_[next_].length, ErrorKind::internal,
          "SafetensorsWriter: {} bytes for tensor {} of {}", data.size(), next_, entries_.size());
  file_.write(data);
  ++next_;
}

void SafetensorsWriter::commit() {
  require(next_ == entries_.size(), ErrorKind::internal, "SafetensorsWriter: {} of {} tensors were written", next_,
          entries_.size());
  file_.commit();
}

}  // namespace fovea
