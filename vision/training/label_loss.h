// The loss of a classifier that names every thing on a picture.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/vision/image/geometry.h"
#include "fovea/vision/models/model.h"
#include "fovea/vision/training/dataset.h"

namespace fovea {

struct LabelTargets {
  at::Tensor present;  // float [B,classes]: 1 where a thing of the class is there
  at::Tensor places;   // int64 [B,h·w], as place_labels
};

// Targets of one picture, B = 1; grid and seen as covered_places takes them. Throws Error(data) for a label that is no
// class.
LabelTargets label_targets(const std::vector<Thing>& things, int64_t classes, const TokenGrid& grid,
                           const Rectangle& seen);

// The sum over classes of the binary cross entropies of the picture's logits, mean over the batch, + place_share · the
// cross entropy that the classifier gives at each place which a thing covers. The second term teaches where a thing is
// from the first step on, and makes features that an attention can point with.
// Jiang et al., All Tokens Matter: Token Labeling for Training Better Vision Transformers, 2021,
// https://arxiv.org/abs/2104.10858
//
// features as model.forward_features gives them. Throws Error(data) where the model has another number of classes or
// places than the targets.
at::Tensor label_loss(ImageModel& model, const at::Tensor& features, const LabelTargets& targets, double place_share);

}  // namespace fovea
