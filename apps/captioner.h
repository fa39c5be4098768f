// The captioner a command line asks for, ready to run.
#pragma once

#include <string>

#include "fovea/apps/device.h"
#include "fovea/captioning/models/load_captioner.h"

namespace fovea {

// From the folder that --model means (load_captioner), on the device and in the number type: of an embedded captioner
// by its name, of the embedded default where it is empty, else `model` itself.
LoadedCaptioner open_captioner(const std::string& model, const std::string& weights, const Runtime& runtime);

}  // namespace fovea
