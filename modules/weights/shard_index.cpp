#include "fovea/modules/weights/shard_index.h"

#include "fovea/modules/error.h"
#include "fovea/modules/weights/json_text.h"

namespace fovea {
namespace fs = std::filesystem;
namespace {

fs::path shard_path(const fs::path& index, const std::string& name) {
  const std::string where = printable(index.native());
  require(!name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
              name.find('\0') == std::string::npos,
          ErrorKind::data, "{}: weight_map: \"{}\" is no name of a file beside it", where, printable(name));
  const fs::path folder = index.has_parent_path() ? index.parent_path() : fs::path(".");
  std::error_code error;
  const fs::path real_folder = fs::canonical(folder, error);
  const fs::path target = error ? fs::path() : fs::canonical(folder / name, error);
  require(!error, ErrorKind::io, "{}: {}", printable((folder / name).native()), error.message());
  // The index may itself be a link of that cache: its folder is the one it was named in.
  const fs::path parent = target.parent_path();
  const fs::path blobs = real_folder.parent_path().parent_path() / "blobs";
  require(parent == real_folder || parent == blobs, ErrorKind::data, "{}: the shard {} is a link out of its folder",
          where, printable(name));
  return folder / name;
}

}  // namespace

std::vector<Shard> read_shard_index(const fs::path& index) {
  const std::string where = printable(index.native());
  const nlohmann::json root = read_json(index.string());
  const bool has_map = root.is_object() && root.contains("weight_map") && root["weight_map"].is_object();
  require(has_map, ErrorKind::data, "{}: has no weight_map from tensors to files", where);
  std::map<std::string, std::vector<std::string>> by_file;
  for (const auto& [tensor, file] : root["weight_map"].items()) {
    require(file.is_string(), ErrorKind::data, "{}: weight_map: {}: expected the name of a file, got {}", where,
            printable(tensor), file.type_name());
    by_file[file.get<std::string>()].push_back(tensor);
  }
  require(!by_file.empty(), ErrorKind::data, "{}: weight_map is empty", where);
  std::vector<Shard> shards;
  for (auto& [file, tensors] : by_file) shards.push_back({shard_path(index, file), std::move(tensors)});
  return shards;
}

}  // namespace fovea
