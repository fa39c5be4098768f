#include <nlohmann/json.hpp>

#include "fovea/vision/models/swin.h"
#include "subjects.h"

namespace fovea {

NLOHMANN_JSON_SERIALIZE_ENUM(SwinPadding, {{SwinPadding::timm, "timm"}, {SwinPadding::torchvision, "torchvision"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SwinOptions, image_size, patch, window, dim, depths, heads, mlp_ratio,
                                                in_channels, num_classes, qkv_bias, padding, v2, pretrained_windows)

parity::Subject parity::swin_subject(const nlohmann::json& description) {
  return model_subject(std::make_shared<SwinImpl>(description.get<SwinOptions>()));
}

}  // namespace fovea
