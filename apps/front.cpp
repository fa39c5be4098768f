// fovea: runs the commands that need no LibTorch, whose loading takes half a second, and becomes fovea-networks for
// all others.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "fovea/apps/program.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr AddCommand commands[] = {add_lens};

// Beside this program where it was built, in the folder of helper programs where it is installed. Returns where that
// failed.
[[noreturn]] void become_networks(char** argv) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  require(!error, ErrorKind::io, "/proc/self/exe: {}", error.message());
  const fs::path beside = folder / "fovea-networks", installed = folder / FOVEA_NETWORKS_FOLDER / "fovea-networks";
  for (const fs::path& program : {beside, installed}) execv(program.c_str(), argv);
  fail(ErrorKind::io, "{}: {}", printable(installed.lexically_normal().string()), std::strerror(errno));
}

int start(int argc, char** argv) {
  if (argc > 1 && argv[1] == std::string_view("lens")) {
    return run_program(argc, argv, commands, current_plain_failure);
  }
  try {
    become_networks(argv);
  } catch (...) {
    const Failure failure = current_plain_failure(/*verbose=*/false);
    print_failure(failure);
    return failure.code;
  }
}

}  // namespace
}  // namespace fovea

int main(int argc, char** argv) {
  return fovea::start(argc, argv);
}
