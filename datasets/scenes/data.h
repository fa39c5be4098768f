// Scenes as data to train on and to measure with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fovea/datasets/scenes/world.h"

namespace fovea {

struct SceneData {
  scenes::Split split = scenes::Split::train;
  int64_t count = 0;             // scenes 0 … count − 1, or those of an epoch
  bool endless = false;          // every index has a scene
  int64_t side = scenes::kSide;  // pixels that they are drawn in (scenes::World::draw)
};

// Labels are the numbers of scenes::nouns().
std::unique_ptr<ThingsDataset> scene_things(std::shared_ptr<const scenes::World> world, const SceneData& data);

// With every wording that is right, and what its words speak of.
std::unique_ptr<CaptionDataset> scene_captions(std::shared_ptr<const scenes::World> world, const SceneData& data);

// Scenes 0 … count − 1 of the split.
std::unique_ptr<CaptionDataset> scene_captions(std::shared_ptr<const scenes::World> world, scenes::Split split,
                                               int64_t count);

// The singular of each noun.
std::vector<std::string> scene_labels();

}  // namespace fovea
