// preprocessor_config.json, as transformers writes it beside published weights.
#pragma once

#include <cstdint>
#include <string>

#include "fovea/vision/models/model_config.h"

namespace fovea {

constexpr int64_t kMostPixels = 16'384;  // along a side of anything that a configuration names

// What the file beside `config` says; without one, a squash to `side` with mean and deviation 0.5.
// Throws Error(data) naming file and key for what cannot be followed.
PreprocessChanges read_huggingface_preprocessor(const std::string& config, int64_t side);

}  // namespace fovea
