// What a file is, when it is not what was hoped for.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace fovea {

// "a NumPy array (.npy)", "an HDF5 file", … by the first bytes; empty where they tell nothing.
std::string_view format_name(std::span<const std::byte> file);

}  // namespace fovea
