// What a sentence says of a scene: the grammar of captions.h backwards, lenient with what a network may write.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/datasets/scenes/plan.h"

namespace fovea::scenes {

// "two red apples".
struct Phrase {
  size_t noun = 0;
  int64_t colour = -1;  // −1: none is said
  int64_t count = 0;    // 0: no number and no article stands before it
  size_t first = 0;     // characters of plain_caption's text that are no spaces: where its noun begins
  size_t end = 0;       // and ends
};

struct Reading {
  std::vector<Phrase> phrases;       // in the order of the sentence
  std::optional<Relation> relation;  // of the first phrase to the second, where just these words stand between them
};

// Every noun of nouns() that the text names (the longest that fits: a hot dog is no dog), with number and colour before
// it.
Reading read_caption(std::string_view text);

// In small letters (ASCII), one space between two words, none around a hyphen, without a full stop at the end: a
// caption is right when this is one of captions_of(plan).
std::string plain_caption(std::string_view text);

}  // namespace fovea::scenes
