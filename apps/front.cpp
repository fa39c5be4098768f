// fovea: becomes fovea-lens for `lens`, which needs no LibTorch (its loading takes half a second), and fovea-networks
// for everything else. It links no library, so that this way costs a few milliseconds.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string_view>

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  const char* name = argc > 1 && argv[1] == std::string_view("lens") ? "fovea-lens" : "fovea-networks";
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  // Beside this program where it was built, in the folder of helper programs where it is installed.
  const fs::path beside = folder / name, installed = (folder / FOVEA_HELPERS_FOLDER / name).lexically_normal();
  for (const fs::path& program : {beside, installed}) execv(program.c_str(), argv);
  std::fprintf(stderr, "error: %s: %s\n", installed.c_str(), std::strerror(errno));
  return 4;
}
