// Do the maps of a caption's nouns lie on what they name?
#pragma once

#include <vector>

#include "fovea/apps/caption_scores.h"
#include "fovea/captioning/models/caption.h"
#include "fovea/vision/image/geometry.h"
#include "fovea/vision/training/dataset.h"

namespace fovea {

// For each noun of scenes that the caption names and the picture holds: whether the centre of the largest cell of its
// map (the mean of the maps of its words) lies in a box of such a thing. `seen` is the part of the picture, in its
// pixels, that the map spans. The caption's words have maps.
void add_pointing(Pointing& pointing, const Caption& caption, const std::vector<Thing>& things, const Rectangle& seen);

}  // namespace fovea
