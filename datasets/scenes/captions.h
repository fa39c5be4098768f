// Sentences that say what a scene holds.
#pragma once

#include <string>
#include <vector>

#include "fovea/datasets/scenes/plan.h"

namespace fovea::scenes {

// Every wording that is right, the plainest first: "two red apples to the left of a cat", "a cat to the right of …".
std::vector<std::string> captions_of(const Plan& plan);

}  // namespace fovea::scenes
