// How much of what a scene holds a caption says, and how much else.
#pragma once

#include <map>
#include <string_view>

#include "fovea/datasets/scenes/plan.h"

namespace fovea::scenes {

// A share of so many.
struct Count {
  int64_t right = 0;
  int64_t of = 0;

  void add(bool good) {
    right += good ? 1 : 0;
    ++of;
  }
  double share() const { return of == 0 ? 0 : static_cast<double>(right) / static_cast<double>(of); }
};

// Sums over captions.
struct SceneScore {
  Count captions;        // one of the wordings of captions_of(), word by word
  Count nouns;           // of max(groups, nouns said) a scene: neither an omitted nor an invented one is right
  Count said;            // groups whose noun is said
  Count counts;          // of those, whose number is right
  Count colours;         // of those, whose colour is right, or unsaid where it is
  Count relations;       // of scenes of two groups whose caption names these two nouns and no other
  int64_t invented = 0;  // nouns said that the scene does not hold
  std::map<size_t, Count> each = {};  // of `said`, by noun
  std::map<size_t, int64_t> invented_each = {};

  void add(const Plan& plan, std::string_view caption);
};

}  // namespace fovea::scenes
