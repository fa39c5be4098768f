// The small networks that the program ships, trained on Fashion-MNIST: what `fovea classify` uses when it is told
// nothing, and what `fovea train` can make again.
#pragma once

#include <string>
#include <vector>

#include "fovea/vision/models/registry.h"

namespace fovea {

struct EmbeddedModel {
  std::string name;     // as --model takes it
  std::string weights;  // file in the data folder: "weights/NAME.safetensors"
  std::string labels;   // file in the data folder: "labels/fashion-mnist.txt"
};

// The first is the default.
const std::vector<EmbeddedModel>& embedded_models();

// Null where there is none of this name.
const EmbeddedModel* find_embedded(const std::string& name);

// A new model of that architecture, with its preprocessing; weights as the layers start, or unfilled inside a SkipInit.
// Of the arguments, `attention` counts. Throws Error(usage) as create_model does.
NamedModel create_embedded(const std::string& name, const ModelArgs& args = {});

}  // namespace fovea
