#include "fovea/apps/output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "fovea/modules/error.h"

namespace fovea {

void print_output(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  require(written, ErrorKind::io, "standard output: {}", std::strerror(errno));
}

void check_replaceable(const std::string& path, bool force, const std::function<bool(const std::string&)>& own) {
  namespace fs = std::filesystem;
  std::error_code error;
  const auto status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return;
  require(!error, ErrorKind::io, "{}: {}", printable(path), error.message());
  require(fs::is_regular_file(status), ErrorKind::io, "{}: exists and is no regular file", printable(path));
  require(force || own(path), ErrorKind::io, "{}: exists and was not written by this command (--force replaces it)",
          printable(path));
}

void check_not_input(const std::string& output, const std::string& input) {
  std::error_code error;
  require(!std::filesystem::equivalent(output, input, error), ErrorKind::usage, "{}: the output is the input",
          printable(output));
}

}  // namespace fovea
