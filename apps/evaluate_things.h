// fovea evaluate of a network that names every thing on a picture: its mean average precision on scenes.
#pragma once

#include "fovea/apps/caption_data.h"
#include "fovea/apps/network.h"

namespace fovea {

int evaluate_things(const NetworkOptions& network, const CaptionDataOptions& data, bool json,
                    const CommonOptions& common);

}  // namespace fovea
