// Names of classes: a UTF-8 text file with one name a line, in the order of the model's outputs.
#pragma once

#include <string>
#include <vector>

namespace fovea {

// Throws Error(io) when the file cannot be read, Error(data) when it is empty, has an empty line or is no UTF-8 text,
// Error(resource) above 16 MiB. Windows line ends and a byte order mark are accepted.
std::vector<std::string> read_labels(const std::string& path);

}  // namespace fovea
