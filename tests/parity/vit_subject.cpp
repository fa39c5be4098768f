#include <nlohmann/json.hpp>

#include "fovea/vision/models/vit.h"
#include "subjects.h"

namespace fovea {

NLOHMANN_JSON_SERIALIZE_ENUM(VitPool, {{VitPool::class_token, "class_token"},
                                       {VitPool::average, "average"},
                                       {VitPool::attention, "attention"},
                                       {VitPool::class_and_average, "class_and_average"}})
NLOHMANN_JSON_SERIALIZE_ENUM(Activation, {{Activation::gelu, "gelu"},
                                          {Activation::gelu_tanh, "gelu_tanh"},
                                          {Activation::quick_gelu, "quick_gelu"}})
NLOHMANN_JSON_SERIALIZE_ENUM(TableResampling,
                             {{TableResampling::antialiased, "antialiased"}, {TableResampling::plain, "plain"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(VitOptions, image_size, patch, dim, depth, heads, mlp_ratio,
                                                in_channels, num_classes, distilled, qkv_bias, layer_scale, class_token,
                                                registers, embed_prefix, pre_norm, pool, fc_norm, activation, swiglu,
                                                norm_eps, head_bias, cut, resampling)

parity::Subject parity::vit_subject(const nlohmann::json& description) {
  return model_subject(std::make_shared<VitImpl>(description.get<VitOptions>()));
}

}  // namespace fovea
