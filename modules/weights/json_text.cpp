#include "fovea/modules/weights/json_text.h"

#include <set>
#include <vector>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/mapped_file.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxBytes = size_t{16} << 20;
constexpr size_t kMaxListBytes = size_t{4} << 30;
constexpr int kMaxJsonDepth = 64;

// Every value as it is complete; false drops it from the tree.
using Keep = std::function<bool(int depth, Json::parse_event_t event, Json& value)>;

Json parse(const std::string& path, size_t most, const Keep& keep) {
  const auto file = MappedFile::open(path);
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  require(text.size() <= most, ErrorKind::resource, "{}: {} bytes exceed the limit of {} for JSON", printable(path),
          text.size(), most);
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
    return keep(depth, event, value);
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    fail(ErrorKind::data, "{}: no valid JSON: {}", printable(path), printable(error.what()));
  }
}

}  // namespace

nlohmann::json read_json(const std::string& path) {
  return parse(path, kMaxBytes, [](int, Json::parse_event_t, Json&) { return true; });
}

void read_json_items(const std::string& path,
                     const std::function<void(const std::string& list, const nlohmann::json& item)>& take) {
  std::string list;
  parse(path, kMaxListBytes, [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth == 1 && event == Json::parse_event_t::key) list = value.get<std::string>();
    if (depth != 2 || event != Json::parse_event_t::object_end) return true;
    take(list, value);
    return false;
  });
}

}  // namespace fovea
