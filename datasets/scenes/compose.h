// Pixels of a scene.
#pragma once

#include <vector>

#include "fovea/datasets/scenes/cutout.h"
#include "fovea/datasets/scenes/plan.h"
#include "fovea/vision/image/image.h"

namespace fovea::scenes {

// A square part of the photograph, of half its shorter side to all of it, mirrored every other time → [side,side].
Image draw_background(const Image& photograph, int64_t side, Dice& dice);

// Of training scenes, whose few photographs a network would know by heart otherwise: half of them mixed with another
// background of the same size, then channels in any order, less or more contrast, lighter or darker, every third
// negative.
void vary_background(Image& background, const Image& other, Dice& dice);

// Sets the thing on the picture with a soft shadow; a colour (null: none) takes the place of its own, light for light.
// Marks in owners, one a pixel of the picture, those it covers with `mark`. Returns how many. Poses are in pixels of
// the picture, which is square.
int64_t set_on(Image& picture, const Cutout& cutout, const Pose& pose, const Colour* colour,
               std::vector<int16_t>& owners, int16_t mark);

}  // namespace fovea::scenes
