#include <nlohmann/json.hpp>

#include "fovea/vision/models/vit.h"
#include "subjects.h"

namespace fovea {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(VitOptions, image_size, patch, dim, depth, heads, mlp_ratio,
                                                in_channels, num_classes, distilled, qkv_bias, layer_scale)

parity::Subject parity::vit_subject(const nlohmann::json& description) {
  return model_subject(std::make_shared<VitImpl>(description.get<VitOptions>()));
}

}  // namespace fovea
