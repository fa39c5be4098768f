// Runs every case of tests/simt on a GPU. Arguments: parts of the names of those to run; none: all.
#include <cstdio>

#include "fovea/tests/simt/harness.h"

int main(int argc, char** argv) {
  int failed = 0, passed = 0;
  for (const auto& each : fovea::kernels::testing::cases()) {
    const std::string name = each.suite + "." + each.name;
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted = wanted || name.find(argv[i]) != std::string::npos;
    if (!wanted) continue;
    try {
      each.run();
      ++passed;
      std::printf("ok      %s\n", name.c_str());
    } catch (const std::exception& error) {
      ++failed;
      std::printf("FAILED  %s: %s\n", name.c_str(), error.what());
    }
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed on the GPU\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
