#include "fovea/apps/scene_files.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "fovea/apps/resources.h"
#include "fovea/modules/error.h"

namespace fovea {

void add_scene_options(CLI::App& app, SceneFiles& files) {
  app.add_option("--font", files.font, "Of scenes: Noto Color Emoji (Debian's package fonts-noto-color-emoji)");
  app.add_option("--photographs", files.photographs, "Of scenes: folder of photographs to stand on (those of fovea)");
  app.add_option("--clothes", files.clothes, "Of scenes: folder of Fashion-MNIST (Debian's dataset-fashion-mnist)");
}

std::shared_ptr<const scenes::World> open_world(const SceneFiles& files) {
  return std::make_shared<const scenes::World>(scenes::WorldFiles{
      .font = files.font,
      .photographs = files.photographs.empty() ? resource("photographs").string() : files.photographs,
      .clothes = files.clothes});
}

scenes::Split split_of(const std::string& option, const std::string& name) {
  const auto found = std::ranges::find(scenes::split_names, name);
  require(found != scenes::split_names.end(), ErrorKind::usage, "{}: expected one of {}, got {}", option,
          fmt::join(scenes::split_names, ", "), printable(name));
  return static_cast<scenes::Split>(found - scenes::split_names.begin());
}

}  // namespace fovea
