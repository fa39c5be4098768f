// The files that the program ships: weights, labels, samples.
#pragma once

#include <filesystem>
#include <string>

namespace fovea {

// A file of the data folder by its relative name: FOVEA_DATA_DIR as configured, ../share/fovea beside the program, or
// datasets/ of the source tree, the first that has it. Throws Error(io) naming all three when none does.
std::filesystem::path resource(const std::string& name);

}  // namespace fovea
