#include "fovea/vision/models/maxvit.h"

#include <nlohmann/json.hpp>

#include "subjects.h"

namespace fovea {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(MaxVitOptions, image_size, stem, dims, depths, head_width, in_channels,
                                                num_classes, tensorflow)

parity::Subject parity::maxvit_subject(const nlohmann::json& description) {
  return model_subject(std::make_shared<MaxVitImpl>(description.get<MaxVitOptions>()));
}

}  // namespace fovea
