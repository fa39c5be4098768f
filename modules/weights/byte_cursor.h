// Reading a file in memory front to back; every step is checked against its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "fovea/modules/error.h"

namespace fovea {

inline std::string_view text_of(std::span<const std::byte> file) {
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

class ByteCursor {
 public:
  // `what` names the file (and the part of it) in messages.
  ByteCursor(std::span<const std::byte> bytes, std::string_view what, size_t place = 0)
      : bytes_(bytes), what_(what), place_(place) {
    require(place <= bytes.size(), ErrorKind::data, "{}: byte {} lies beyond its end", what, place);
  }

  size_t place() const { return place_; }
  size_t left() const { return bytes_.size() - place_; }

  // Throws Error(data) "FILE: truncated at byte 17" where fewer are left. Valid as long as the file.
  std::string_view take(uint64_t count) {
    if (count > left()) fail(ErrorKind::data, "{}: truncated at byte {}", what_, bytes_.size());
    const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()) + place_, count);
    place_ += count;
    return taken;
  }

  // Of `count` bytes, at most 8, the least significant first.
  uint64_t little(int count) {
    const std::string_view taken = take(static_cast<uint64_t>(count));
    uint64_t value = 0;
    for (int i = count; i-- > 0;) value = value << 8 | static_cast<uint8_t>(taken[static_cast<size_t>(i)]);
    return value;
  }

  // Up to the next line feed, which is taken too.
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + place_, left());
    const size_t end = rest.find('\n');
    const std::string_view taken = take(end == std::string_view::npos ? rest.size() + 1 : end + 1);
    return taken.substr(0, taken.size() - 1);
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view what_;
  size_t place_;
};

}  // namespace fovea
