// Which things cover which places of a network's grid.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "fovea/modules/attention/recorder.h"
#include "fovea/vision/image/geometry.h"
#include "fovea/vision/training/dataset.h"

namespace fovea {

// The places h·w of the grid, row by row, that lie over each thing: bool [things,h·w]. A place does where its centre
// lies in the ellipse that touches the sides of the thing's box, and where the box's centre lies in it. `seen` is the
// network's input on the picture, crop_geometry(…).in_original(); the grid divides it evenly.
at::Tensor covered_places(const std::vector<Thing>& things, const Rectangle& seen, const TokenGrid& grid);

// The label of the foremost thing over each place, −100 (which losses pass over) where there is none: int64 [h·w].
at::Tensor place_labels(const std::vector<Thing>& things, const Rectangle& seen, const TokenGrid& grid);

}  // namespace fovea
