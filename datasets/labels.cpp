#include "fovea/datasets/labels.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr uintmax_t size_cap = uintmax_t{16} << 20;  // bytes

std::string read_text(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const auto status = fs::status(path, error);
  require(fs::exists(status), ErrorKind::io, "{}: {}", printable(path),
          error ? error.message() : "No such file or directory");
  require(!fs::is_directory(status), ErrorKind::io, "{}: is a directory", printable(path));
  require(fs::is_regular_file(status), ErrorKind::io, "{}: is no regular file", printable(path));
  const uintmax_t size = fs::file_size(path, error);
  require(size <= size_cap, ErrorKind::resource, "{}: {} bytes exceed the limit of {} for a list of labels",
          printable(path), size, size_cap);
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), ErrorKind::io, "{}: {}", printable(path), std::strerror(errno));
  file.read(text.data(), static_cast<std::streamsize>(size));
  require(file.gcount() == static_cast<std::streamsize>(size), ErrorKind::io, "{}: cannot be read to its end",
          printable(path));
  return text;
}

}  // namespace

std::vector<std::string> read_labels(const std::string& path) {
  std::string text = read_text(path);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  require(!text.empty(), ErrorKind::data, "{}: empty file", printable(path));

  std::vector<std::string> labels;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    std::string line = text.substr(start, end - start);
    if (line.ends_with('\r')) line.pop_back();
    const size_t number = labels.size() + 1;
    require(!line.empty(), ErrorKind::data, "{}: line {} is empty", printable(path), number);
    // printable() rewrites control characters and bytes that are no UTF-8; a name may hold neither.
    require(printable(line) == line, ErrorKind::data, "{}: line {} is no printable UTF-8: {}", printable(path), number,
            printable(line).substr(0, 80));
    labels.push_back(std::move(line));
    start = end + 1;
  }
  return labels;
}

}  // namespace fovea
