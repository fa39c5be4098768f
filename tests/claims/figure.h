// Prints a measured figure, for docs/claims.md.
#pragma once

#include <fmt/format.h>

#include <cstdio>

namespace fovea::testing {

template <typename... Args>
void figure(fmt::format_string<Args...> format, Args&&... args) {
  std::fputs(("figure: " + fmt::format(format, std::forward<Args>(args)...) + "\n").c_str(), stdout);
}

}  // namespace fovea::testing
