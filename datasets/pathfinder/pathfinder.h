// Pathfinder: does one dashed curve join the two dots? A task that no small neighbourhood of pixels decides.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "fovea/vision/training/dataset.h"

namespace fovea {

struct PathfinderOptions {
  int64_t side = 32;        // pixels
  int64_t dashes = 6;       // of each of the two long curves
  int64_t distractors = 2;  // short curves without dots
  uint64_t seed = 0;        // of all pictures
};

struct PathfinderPicture {
  Image image;  // RGB, grey: white on black
  bool joined = false;
};

// Picture `number` of a seed, the same on every machine: two curves of dashes that turn a little at every dash, and
// shorter ones beside them; the dots stand at both ends of one (odd numbers: joined) or at an end of each (even ones).
// Ends of neighbouring dashes are 2 pixels apart, everything of two curves at least 5.5. Throws Error(usage) for counts
// that are not positive, and where the picture is too small for its curves.
// Linsley et al., Learning long-range spatial dependencies with horizontal gated recurrent units, 2018,
// https://arxiv.org/abs/1805.08315; at 32×32 in Tay et al., Long Range Arena, 2020, https://arxiv.org/abs/2011.04006
PathfinderPicture draw_pathfinder(const PathfinderOptions& options, uint64_t number);

// `count` pictures from number `first` on, drawn when they are asked for; labels 0 (apart) and 1 (joined), as many of
// each where count is even.
std::unique_ptr<Dataset> pathfinder_dataset(const PathfinderOptions& options, int64_t count, uint64_t first = 0);

}  // namespace fovea
