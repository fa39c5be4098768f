// JSON of configuration files as a tree, more strictly than the library takes it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace fovea {

// Reads the file. Throws Error(io), Error(data) for what is no JSON, for two equal keys in an object and for nesting
// deeper than 64, and Error(resource) above 16 MiB.
nlohmann::json read_json(const std::string& path);

}  // namespace fovea
