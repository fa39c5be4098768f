// preprocessor_config.json, or since transformers 5 a part of processor_config.json, beside published weights.
#pragma once

#include <cstdint>
#include <string>

#include "fovea/vision/models/model_config.h"

namespace fovea {

constexpr int64_t kMostPixels = 16'384;  // along a side of anything that a configuration names

// True where one of the files beside `config` says how images are prepared.
bool has_huggingface_preprocessor(const std::string& config);

// What `image_processor` of processor_config.json says, or else preprocessor_config.json; without one, a squash to
// `side` with mean and deviation 0.5. Throws Error(data) naming file and key for what cannot be followed.
PreprocessChanges read_huggingface_preprocessor(const std::string& config, int64_t side);

}  // namespace fovea
