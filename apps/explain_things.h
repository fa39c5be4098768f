// fovea evaluate --explain on scenes: do methods of explanation point at the thing that they are asked about, and how
// faithful are they?
#pragma once

#include <string>
#include <vector>

#include "fovea/apps/caption_data.h"
#include "fovea/apps/network.h"

namespace fovea {

struct ThingExplanation {
  std::vector<std::string> methods;
  int64_t pictures = 0;  // of each split, spread over it
  int64_t seed = 0;      // of the shuffled maps and the random weights
  bool json = false;
};

// The network has a class for each kind of thing.
int explain_things(const ThingExplanation& options, const NetworkOptions& network, const CaptionDataOptions& data,
                   const CommonOptions& common);

}  // namespace fovea
