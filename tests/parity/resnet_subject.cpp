#include <nlohmann/json.hpp>

#include "fovea/vision/models/resnet.h"
#include "subjects.h"

namespace fovea {

NLOHMANN_JSON_SERIALIZE_ENUM(ResNetBlock, {{ResNetBlock::basic, "basic"}, {ResNetBlock::bottleneck, "bottleneck"}})
NLOHMANN_JSON_SERIALIZE_ENUM(ResNetStem, {{ResNetStem::pooled, "pooled"},
                                          {ResNetStem::halved, "halved"},
                                          {ResNetStem::plain, "plain"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ResNetOptions, block, depths, widths, slot, reduction, stem, stem_width,
                                                in_channels, num_classes)

parity::Subject parity::resnet_subject(const nlohmann::json& description) {
  return model_subject(std::make_shared<ResNetImpl>(description.get<ResNetOptions>()));
}

}  // namespace fovea
