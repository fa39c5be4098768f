// What goes wrong between processes, as one line.
#pragma once

#include <c10/util/Exception.h>

#include <string>

#include "fovea/modules/error.h"

namespace fovea {

// The first line of what went wrong.
inline std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

// talk(), whose faults become Error(io): "WHO: what LibTorch or Gloo said".
template <typename Talk>
auto exchanging(const std::string& who, Talk talk) {
  try {
    return talk();
  } catch (const Error&) {
    throw;
  } catch (const c10::Error& error) {
    fail(ErrorKind::io, "{}: {}", who, first_line(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    fail(ErrorKind::io, "{}: {}", who, first_line(error.what()));
  }
}

}  // namespace fovea
