// The small networks that the program ships, and what `fovea train` can make again: classifiers trained on
// Fashion-MNIST, which `fovea classify` uses when it is told nothing, and captioners trained on scenes, which
// `fovea caption` uses then.
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

struct EmbeddedCaptioner {
  std::string name;     // as `fovea caption --model` takes it
  std::string encoder;  // registered name of what it sees with, a classifier of everything on a scene
  std::string folder;   // in the data folder, as load_captioner reads it: "weights/NAME"
};

// The first is the default.
const std::vector<EmbeddedCaptioner>& embedded_captioners();

// The one of this name, or with an encoder of this name; null where there is none.
const EmbeddedCaptioner* find_embedded_captioner(const std::string& name);

// A new model of that architecture, with its preprocessing; weights as the layers start, or unfilled inside a SkipInit.
// Of the arguments, `attention` counts. Throws Error(usage) as create_model does.
NamedModel create_embedded(const std::string& name, const ModelArgs& args = {});

}  // namespace fovea
