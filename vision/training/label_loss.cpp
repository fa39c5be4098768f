#include "fovea/vision/training/label_loss.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"
#include "fovea/vision/training/places.h"

namespace fovea {

LabelTargets label_targets(const std::vector<Thing>& things, int64_t classes, const TokenGrid& grid,
                           const Rectangle& seen) {
  auto present = at::zeros({1, classes});
  for (const Thing& thing : things) {
    require(0 <= thing.label && thing.label < classes, ErrorKind::data, "train: label {} is not below {} classes",
            thing.label, classes);
    present[0][thing.label] = 1;
  }
  return {.present = present, .places = place_labels(things, seen, grid).unsqueeze(0)};
}

at::Tensor label_loss(ImageModel& model, const at::Tensor& features, const LabelTargets& targets, double place_share) {
  const auto logits = model.logits(features);  // [B,classes]
  require(logits.sizes() == targets.present.sizes(), ErrorKind::data, "train: the model answers {}, the data is {}",
          shape_text(logits), shape_text(targets.present));
  const auto loss = at::binary_cross_entropy_with_logits(logits, targets.present, {}, {}, at::Reduction::Sum) /
                    static_cast<double>(logits.size(0));
  if (place_share == 0) return loss;
  const int64_t count = targets.places.size(1);
  const auto places = features.dim() == 4
                          ? features.flatten(2).transpose(1, 2)
                          : features.slice(1, std::max<int64_t>(features.size(1) - count, 0));  // [B,M,D]
  require(places.size(1) == count, ErrorKind::data, "train: the model has {} places, the data {}", places.size(1),
          count);
  const auto covered = (targets.places >= 0).flatten().nonzero().squeeze(1);
  if (covered.numel() == 0) return loss;
  const auto named = model.classify(places.flatten(0, 1).index_select(0, covered));  // [covered,classes]
  return loss + place_share * at::cross_entropy_loss(named, targets.places.flatten().index_select(0, covered));
}

}  // namespace fovea
