#include <nlohmann/json.hpp>

#include "fovea/vision/models/cait.h"
#include "subjects.h"

namespace fovea {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(CaitOptions, image_size, patch, dim, depth, class_depth, heads,
                                                mlp_ratio, in_channels, num_classes, qkv_bias, layer_scale)

parity::Subject parity::cait_subject(const nlohmann::json& description) {
  return model_subject(std::make_shared<CaitImpl>(description.get<CaitOptions>()));
}

}  // namespace fovea
