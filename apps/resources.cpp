#include "fovea/apps/resources.h"

#include <fmt/ranges.h>

#include <vector>

#include "fovea/modules/error.h"

namespace fovea {

std::filesystem::path resource(const std::string& name) {
  namespace fs = std::filesystem;
  std::vector<fs::path> folders;
  if (*FOVEA_DATA_DIR != '\0') folders.emplace_back(FOVEA_DATA_DIR);
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) folders.push_back(program.parent_path().parent_path() / "share/fovea");
  folders.emplace_back(FOVEA_SOURCE_DATA_DIR);

  std::vector<std::string> tried;
  for (const fs::path& folder : folders) {
    if (fs::exists(folder / name, error)) return folder / name;
    tried.push_back(printable(folder.string()));
  }
  fail(ErrorKind::io, "{}: not found in {}", printable(name), fmt::join(tried, ", "));
}

}  // namespace fovea
