// Answers about pictures of several things, each of which covers few places.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/vision/models/model.h"

namespace fovea {

// What the classifier says at each place, of each class the greatest: a mean over places would drown what is small.
// places [B,M,D] → [B,classes]. Oquab et al., Is object localization for free?, 2015,
// https://doi.org/10.1109/CVPR.2015.7298668
at::Tensor most_of_places(ImageModel& model, const at::Tensor& places);

}  // namespace fovea
