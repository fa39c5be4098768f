// Sentences that say what a scene holds.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/datasets/scenes/plan.h"
#include "fovea/vision/training/dataset.h"

namespace fovea::scenes {

// How a relation is said: "to the left of", "left of".
const std::array<std::string_view, 2>& words_of(Relation relation);

// Every wording that is right, the plainest first: "two red apples to the left of a cat", "a cat to the right of …"; of
// a crowd its list, "a cat, a red apple and a dog".
std::vector<std::string> captions_of(const Plan& plan);

// The noun and its colour, number or article in each of these sentences, group by group: things are counted through the
// poses of all groups. Of the second of two things also the relation in front of it, "to the left of a cat".
std::vector<Mention> mentions_of(const Plan& plan);

}  // namespace fovea::scenes
