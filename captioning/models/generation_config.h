// generation_config.json: how the makers of a captioner want it to write.
#pragma once

#include <string>

#include "fovea/captioning/models/load_captioner.h"

namespace fovea {

// The file beside `config`; where there is none, the usual. `null` is as if the key were absent.
// Throws Error(data) naming file and key for values out of range, and for ways of generating that are not supported
// (groups of beams, contrastive search, lists of forbidden words, …).
UsualGeneration read_usual_generation(const std::string& config);

}  // namespace fovea
