#include "fovea/datasets/embedded.h"

#include <algorithm>

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

std::shared_ptr<ImageModel> resnet(const BlockAttention& attention) {
  return std::make_shared<ResNetImpl>(ResNetOptions{.block = ResNetBlock::basic,
                                                    .depths = {1, 1, 1},
                                                    .widths = {64, 128, 192},
                                                    .slot = attention.name,
                                                    .reduction = 8,
                                                    .stem = ResNetStem::halved,
                                                    .stem_width = 32,
                                                    .num_classes = classes,
                                                    .slot_stages = attention.stages,
                                                    .image_size = side});
}

std::shared_ptr<ImageModel> vit(const BlockAttention&) {
  return std::make_shared<VitImpl>(
      VitOptions{.image_size = side, .patch = 4, .dim = 96, .depth = 4, .heads = 3, .num_classes = classes});
}

std::shared_ptr<ImageModel> swin(const BlockAttention&) {
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
  const char* slot;  // of a ResNet
  std::shared_ptr<ImageModel> (*build)(const BlockAttention&);
};

constexpr Row rows[] = {
    {"fovea_seresnet_fashion", "resnet", "se", resnet},
    {"fovea_cbamresnet_fashion", "resnet", "cbam", resnet},
    {"fovea_vit_fashion", "vit", "", vit},
    {"fovea_swin_fashion", "swin", "", swin},
};

}  // namespace

const std::vector<EmbeddedModel>& embedded_models() {
  static const std::vector<EmbeddedModel> models = [] {
    std::vector<EmbeddedModel> made;
    for (const Row& row : rows) {
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

NamedModel create_embedded(const std::string& name, const ModelArgs& args) {
  const auto row = std::ranges::find_if(rows, [&](const Row& candidate) { return name == candidate.name; });
  require(row != std::end(rows), ErrorKind::usage, "no embedded network is named \"{}\"", printable(name));
  ModelInfo info{
      .name = row->name, .family = row->family, .preprocess = fashion_preprocessing(), .num_classes = classes};
  choose_attention(info, args);
  auto model = row->build(info.attention.value_or(BlockAttention{.name = row->slot}));
  return {.info = std::move(info), .model = std::move(model)};
}

}  // namespace fovea
