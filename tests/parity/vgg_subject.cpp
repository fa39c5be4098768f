#include "fovea/vision/models/vgg.h"

#include <nlohmann/json.hpp>

#include "subjects.h"

namespace fovea {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(VggOptions, depths, widths, norm, head_width, in_channels, num_classes)

parity::Subject parity::vgg_subject(const nlohmann::json& description) {
  return model_subject(std::make_shared<VggImpl>(description.get<VggOptions>()));
}

}  // namespace fovea
