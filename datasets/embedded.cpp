#include "fovea/datasets/embedded.h"

#include <algorithm>
#include <functional>

#include "fovea/modules/error.h"
#include "fovea/vision/models/resnet.h"
#include "fovea/vision/models/swin.h"
#include "fovea/vision/models/vit.h"

namespace fovea {
namespace {

constexpr int64_t side = 28;  // pixels
constexpr int64_t classes = 10;

// Pictures of 28 pixels as they are; mean and deviation of the training pixels of Fashion-MNIST.
PreprocessOptions fashion_preprocessing() {
  return {.height = side,
          .width = side,
          .crop_pct = 1,
          .interpolation = Interpolation::bilinear,
          .mean = {0.286, 0.286, 0.286},
          .std = {0.353, 0.353, 0.353}};
}

std::shared_ptr<ImageModel> resnet(const char* slot) {
  return std::make_shared<ResNetImpl>(ResNetOptions{.block = ResNetBlock::basic,
                                                    .depths = {1, 1, 1},
                                                    .widths = {64, 128, 192},
                                                    .slot = slot,
                                                    .reduction = 8,
                                                    .stem = ResNetStem::halved,
                                                    .stem_width = 32,
                                                    .num_classes = classes});
}

std::shared_ptr<ImageModel> vit() {
  return std::make_shared<VitImpl>(
      VitOptions{.image_size = side, .patch = 4, .dim = 96, .depth = 4, .heads = 3, .num_classes = classes});
}

std::shared_ptr<ImageModel> swin() {
  return std::make_shared<SwinImpl>(SwinOptions{.image_size = side,
                                                .patch = 2,
                                                .window = 7,
                                                .dim = 32,
                                                .depths = {2, 2, 2},
                                                .heads = {1, 2, 4},
                                                .num_classes = classes});
}

struct Row {
  const char* name;
  const char* family;
  std::function<std::shared_ptr<ImageModel>()> build;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"fovea_seresnet_fashion", "resnet", [] { return resnet("se"); }},
      {"fovea_cbamresnet_fashion", "resnet", [] { return resnet("cbam"); }},
      {"fovea_vit_fashion", "vit", vit},
      {"fovea_swin_fashion", "swin", swin},
  };
  return table;
}

}  // namespace

const std::vector<EmbeddedModel>& embedded_models() {
  static const std::vector<EmbeddedModel> models = [] {
    std::vector<EmbeddedModel> made;
    for (const Row& row : rows()) {
      made.push_back({.name = row.name,
                      .weights = fmt::format("weights/{}.safetensors", row.name),
                      .labels = "labels/fashion-mnist.txt"});
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

NamedModel create_embedded(const std::string& name) {
  const auto row =
      std::find_if(rows().begin(), rows().end(), [&](const Row& candidate) { return name == candidate.name; });
  require(row != rows().end(), ErrorKind::usage, "no embedded network is named \"{}\"", printable(name));
  return {
      .info = {.name = row->name, .family = row->family, .preprocess = fashion_preprocessing(), .num_classes = classes},
      .model = row->build()};
}

}  // namespace fovea
