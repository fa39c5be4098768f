#include "fovea/tests/simt/harness.h"

#include <cstdlib>

namespace fovea::kernels::testing {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

uint64_t case_count(uint64_t usual) {
  const char* given = std::getenv("FOVEA_CASES");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : usual;
}

}  // namespace fovea::kernels::testing
