// Do the maps of a caption's nouns lie on what they name?
#pragma once

#include <vector>

#include "fovea/apps/caption_scores.h"
#include "fovea/captioning/models/caption.h"
#include "fovea/vision/image/geometry.h"
#include "fovea/vision/training/dataset.h"

namespace fovea {

struct Pointed {
  bool hit = false;   // the centre of the largest cell lies in a box of such a thing
  double chance = 0;  // the part of the cells whose centres do
};

// heat [h,w] spans `seen`, a part of the picture in its pixels.
Pointed point_at(const at::Tensor& heat, const Rectangle& seen, const std::vector<Thing>& things, int64_t label);

// For each noun of scenes that the caption names and the picture holds: where its map (the mean of the maps of its
// words) points. The caption's words have maps.
void add_pointing(Pointing& pointing, const Caption& caption, const std::vector<Thing>& things, const Rectangle& seen);

}  // namespace fovea
