#include "fovea/modules/weights/json_text.h"

#include <set>
#include <vector>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/mapped_file.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxBytes = size_t{16} << 20;
constexpr int kMaxJsonDepth = 64;

}  // namespace

nlohmann::json read_json(const std::string& path) {
  const auto file = MappedFile::open(path);
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  require(text.size() <= kMaxBytes, ErrorKind::resource, "{}: {} bytes exceed the limit of {} for JSON",
          printable(path), text.size(), kMaxBytes);
  require(!text.starts_with('\xEF'), ErrorKind::data, "{}: no valid JSON: byte order mark", printable(path));
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    require(depth <= kMaxJsonDepth, ErrorKind::data, "{}: nested deeper than {}", printable(path), kMaxJsonDepth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      require(keys.back().insert(value.get<std::string>()).second, ErrorKind::data, "{}: duplicate key {}",
              printable(path), printable(value.get<std::string>()));
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    fail(ErrorKind::data, "{}: no valid JSON: {}", printable(path), printable(error.what()));
  }
}

}  // namespace fovea
