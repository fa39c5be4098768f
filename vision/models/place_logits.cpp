#include "fovea/vision/models/place_logits.h"

#include <ATen/ATen.h>

namespace fovea {

at::Tensor most_of_places(ImageModel& model, const at::Tensor& places) {
  const auto each = model.classify(places.flatten(0, 1));  // [B·M,classes]
  return each.view({places.size(0), places.size(1), each.size(1)}).amax(1);
}

}  // namespace fovea
