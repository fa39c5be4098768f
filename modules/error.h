// Errors of the whole project: one type, one line of text, and the exit code that the program answers with.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace fovea {

// The value is the exit code of the `fovea` program.
enum class ErrorKind {
  internal = 1,  // a fault of fovea itself
  usage = 2,     // an option or argument that can never work
  data = 3,      // an input whose content is wrong: file, tensor shape, mask
  io = 4,        // missing file, permission, no space, no such device
  numeric = 5,   // NaN or Inf where numbers were expected
  resource = 6,  // memory or a size cap
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

// Throws Error(kind) with a formatted message: "multi_head_attention: d_model 100 is not divisible by heads 12".
template <typename... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void require(bool condition, ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) fail(kind, format, std::forward<Args>(args)...);
}

// Text as it may be printed: control characters and bytes that are not UTF-8 become \xNN.
std::string printable(std::string_view text);

}  // namespace fovea
