#include "fovea/datasets/labels.h"

#include <algorithm>
#include <string_view>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/mapped_file.h"

namespace fovea {
namespace {

constexpr size_t size_cap = size_t{16} << 20;  // bytes

}  // namespace

std::vector<std::string> read_labels(const std::string& path) {
  const auto file = MappedFile::open(path);
  require(file->bytes().size() <= size_cap, ErrorKind::resource,
          "{}: {} bytes exceed the limit of {} for a list of labels", printable(path), file->bytes().size(), size_cap);
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);

  std::vector<std::string> labels;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string line(text.substr(0, end));
    if (line.ends_with('\r')) line.pop_back();
    const size_t number = labels.size() + 1;
    require(!line.empty(), ErrorKind::data, "{}: line {} is empty", printable(path), number);
    // printable() rewrites control characters and bytes that are no UTF-8; a name may hold neither.
    require(printable(line) == line, ErrorKind::data, "{}: line {} is no printable UTF-8: {}", printable(path), number,
            printable(line).substr(0, 80));
    labels.push_back(std::move(line));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  require(!labels.empty(), ErrorKind::data, "{}: empty file", printable(path));
  return labels;
}

}  // namespace fovea
