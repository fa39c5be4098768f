// JSON of configuration files as a tree, more strictly than the library takes it.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace fovea {

// Reads the file. Throws Error(io), Error(data) for what is no JSON, for two equal keys in an object and for nesting
// deeper than 64, and Error(resource) above 16 MiB.
nlohmann::json read_json(const std::string& path);

// Hands over the objects of the lists at the top of a file ({"images": [{…}, …], …}), in its order, with the key of
// their list, and forgets each: the memory does not grow with the file. Throws as read_json does, Error(resource) above
// 4 GiB.
void read_json_items(const std::string& path,
                     const std::function<void(const std::string& list, const nlohmann::json& item)>& take);

}  // namespace fovea
