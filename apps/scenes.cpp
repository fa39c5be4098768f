// fovea scenes: pictures of which everything is known, to train and test captioners with.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "fovea/apps/arguments.h"
#include "fovea/apps/command.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/output.h"
#include "fovea/apps/picture_file.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/scene_files.h"
#include "fovea/apps/signals.h"
#include "fovea/datasets/scenes/captions.h"
#include "fovea/datasets/scenes/nouns.h"
#include "fovea/datasets/scenes/world.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/draw/heat.h"

namespace fovea {
namespace {

using Json = nlohmann::ordered_json;

struct SceneArguments {
  std::string output;
  std::string split = "train";
  SceneFiles files;
  int64_t count = 100;
  int64_t first = 0;
  bool force = false;
};

Json object(const scenes::Group& group, const scenes::Placed& placed, int64_t image) {
  const Region& box = placed.box;
  Json json = {{"image_id", image},
               {"noun", scenes::nouns()[group.noun].singular},
               {"bbox", {box.left, box.top, box.width, box.height}},
               {"visible", placed.visible}};
  if (group.colour >= 0) json["colour"] = scenes::colours[static_cast<size_t>(group.colour)].name;
  return json;
}

// COCO's captions, every right wording of each picture, and the things in it.
void describe(const scenes::Scene& scene, int64_t image, const std::string& file, Json& page) {
  page["images"].push_back(
      {{"id", image}, {"file_name", file}, {"width", scene.image.width}, {"height", scene.image.height}});
  for (const std::string& caption : scenes::captions_of(scene.plan)) {
    const auto id = page["annotations"].size();
    page["annotations"].push_back({{"id", id}, {"image_id", image}, {"caption", caption}});
  }
  for (size_t g = 0; g < scene.placed.size(); ++g) {
    for (const scenes::Placed& placed : scene.placed[g]) {
      page["objects"].push_back(object(scene.plan.groups[g], placed, image));
    }
  }
}

int write_scenes(const SceneArguments& arguments) {
  namespace fs = std::filesystem;
  const scenes::Split split = split_of("--split", arguments.split);
  const auto world = open_world(arguments.files);
  make_folder(arguments.output);
  const std::string captions = (fs::path(arguments.output) / "captions.json").string();
  check_replaceable(captions, arguments.force, [](const std::string&) { return false; });
  Json page = {{"info", {{"description", fmt::format("fovea scenes, {}", arguments.split)}}},
               {"images", Json::array()},
               {"annotations", Json::array()},
               {"objects", Json::array()}};
  Progress progress("scenes", arguments.count);
  for (int64_t i = 0; i < arguments.count && stop_signal() == 0; ++i) {
    const int64_t index = arguments.first + i;
    const scenes::Scene scene = world->draw(split, static_cast<uint64_t>(index));
    const std::string file = scenes::file_name(split, static_cast<uint64_t>(index));
    write_picture((fs::path(arguments.output) / file).string(), encode_png(scene.image), arguments.force);
    describe(scene, index, file, page);
    progress.update(i + 1);
  }
  progress.clear();
  write_file(captions, page.dump(1) + "\n");
  print_output(fmt::format("{}: {} scenes, {} captions\n", printable(captions), page["images"].size(),
                           page["annotations"].size()));
  return stop_signal() == 0 ? 0 : 128 + stop_signal();
}

}  // namespace

Command add_scenes(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("scenes", "Draw pictures of known things, with captions and boxes");
  auto arguments = std::make_shared<SceneArguments>();
  app->add_option("--output", arguments->output, "Folder for the pictures and captions.json")->required();
  add_integer(*app, "--count", arguments->count, {.least = 1, .most = 10'000'000}, "Scenes to draw (100)");
  add_integer(*app, "--first", arguments->first, {.least = 0, .most = int64_t{1} << 60}, "Number of the first (0)");
  app->add_option("--split", arguments->split,
                  "train; test: other photographs, placements and clothes; unseen: also pairs that train never shows; "
                  "crowded: as train, a dozen things each");
  add_scene_options(*app, arguments->files);
  app->add_flag("--force", arguments->force, "Replace captions.json, and files that fovea did not write");
  add_verbose_option(*app, common);
  return {app, [arguments] { return write_scenes(*arguments); }};
}

}  // namespace fovea
