#include "fovea/datasets/embedded.h"

#include <algorithm>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

// Of vision/models/fovea_table.cpp.
constexpr const char* names[] = {"fovea_seresnet_fashion", "fovea_cbamresnet_fashion", "fovea_vit_fashion",
                                 "fovea_swin_fashion"};

}  // namespace

const std::vector<EmbeddedModel>& embedded_models() {
  static const std::vector<EmbeddedModel> models = [] {
    std::vector<EmbeddedModel> made;
    for (const char* name : names) {
      made.push_back(
          {.name = name, .weights = fmt::format("weights/{}.safetensors", name), .labels = "labels/fashion-mnist.txt"});
    }
    return made;
  }();
  return models;
}

const EmbeddedModel* find_embedded(const std::string& name) {
  const auto& models = embedded_models();
  const auto found = std::find_if(models.begin(), models.end(), [&](const auto& model) { return model.name == name; });
  return found == models.end() ? nullptr : &*found;
}

const std::vector<EmbeddedCaptioner>& embedded_captioners() {
  static const std::vector<EmbeddedCaptioner> captioners = {
      {"fovea_lstm_scenes", "fovea_cbamresnet_scenes", "weights/fovea_lstm_scenes"},
      {"fovea_transformer_scenes", "fovea_vit_scenes", "weights/fovea_transformer_scenes"},
  };
  return captioners;
}

const EmbeddedCaptioner* find_embedded_captioner(const std::string& name) {
  const auto& captioners = embedded_captioners();
  const auto found = std::ranges::find_if(captioners, [&](const EmbeddedCaptioner& captioner) {
    return captioner.name == name || captioner.encoder == name;
  });
  return found == captioners.end() ? nullptr : &*found;
}

NamedModel create_embedded(const std::string& name, const ModelArgs& args) {
  require(find_embedded(name) != nullptr, ErrorKind::usage, "no embedded network is named \"{}\"", printable(name));
  return create_model(name, {.attention = args.attention});
}

}  // namespace fovea
