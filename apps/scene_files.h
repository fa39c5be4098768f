// What generated scenes are made of, on the command line.
#pragma once

#include <memory>
#include <string>

#include "fovea/datasets/scenes/world.h"

namespace CLI {
class App;
}

namespace fovea {

struct SceneFiles {
  std::string font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";
  std::string photographs;  // folder; empty: those of fovea
  std::string clothes = "/usr/share/datasets/fashion-mnist";
};
void add_scene_options(CLI::App& app, SceneFiles& files);

// Throws as scenes::World does.
std::shared_ptr<const scenes::World> open_world(const SceneFiles& files);

// By its name; throws Error(usage) naming `option` and the names there are.
scenes::Split split_of(const std::string& option, const std::string& name);

}  // namespace fovea
