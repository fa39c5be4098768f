// Errors as text, for tests that compare the whole message.
#pragma once

#include <string>

#include "fovea/modules/error.h"

namespace fovea::testing {

// What a call throws, "KIND: message", or nothing.
template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return fmt::format("{}: {}", static_cast<int>(error.kind()), error.what());
  }
  return "nothing was thrown";
}

}  // namespace fovea::testing
