// The small networks that fovea trained itself.
#include "fovea/vision/models/resnet.h"
#include "fovea/vision/models/rows.h"
#include "fovea/vision/models/swin.h"
#include "fovea/vision/models/vit.h"

namespace fovea::own {
namespace {

constexpr int64_t fashion_side = 28;  // pixels
constexpr int64_t scenes_side = 144;

// Pictures of 28 pixels as they are; mean and deviation of the training pixels of Fashion-MNIST.
constexpr PreprocessOptions fashion = {.height = fashion_side,
                                       .width = fashion_side,
                                       .crop_pct = 1,
                                       .interpolation = Interpolation::bilinear,
                                       .mean = {0.286, 0.286, 0.286},
                                       .std = {0.353, 0.353, 0.353}};

// Whole pictures, whatever their shape.
constexpr PreprocessOptions scenes = {.height = scenes_side,
                                      .width = scenes_side,
                                      .crop_pct = 1,
                                      .crop_mode = CropMode::squash,
                                      .interpolation = Interpolation::bilinear,
                                      .mean = {0.5, 0.5, 0.5},
                                      .std = {0.25, 0.25, 0.25}};

std::shared_ptr<ImageModel> residual(ResNetOptions options, const char* slot, const BuildArgs& args) {
  const BlockAttention attention = args.info.attention.value_or(BlockAttention{.name = slot});
  options.slot = attention.name;
  options.slot_stages = attention.stages;
  options.in_channels = args.in_channels;
  options.num_classes = args.info.num_classes;
  options.image_size = args.image_size;
  return std::make_shared<ResNetImpl>(options);
}

std::shared_ptr<ImageModel> fashion_resnet(const char* slot, const BuildArgs& args) {
  return residual({.block = ResNetBlock::basic,
                   .depths = {1, 1, 1},
                   .widths = {64, 128, 192},
                   .reduction = 8,
                   .stem = ResNetStem::halved,
                   .stem_width = 32},
                  slot, args);
}

std::shared_ptr<ImageModel> fashion_vit(const char*, const BuildArgs& args) {
  return std::make_shared<VitImpl>(VitOptions{.image_size = args.image_size,
                                              .patch = 4,
                                              .dim = 96,
                                              .depth = 4,
                                              .heads = 3,
                                              .in_channels = args.in_channels,
                                              .num_classes = args.info.num_classes});
}

std::shared_ptr<ImageModel> fashion_swin(const char*, const BuildArgs& args) {
  return std::make_shared<SwinImpl>(SwinOptions{.image_size = args.image_size,
                                                .patch = 2,
                                                .window = 7,
                                                .dim = 32,
                                                .depths = {2, 2, 2},
                                                .heads = {1, 2, 4},
                                                .in_channels = args.in_channels,
                                                .num_classes = args.info.num_classes});
}

// Places of 16 pixels.
const ResNetOptions scenes_trunk = {.block = ResNetBlock::basic,
                                    .depths = {1, 2, 2},
                                    .widths = {48, 96, 192},
                                    .reduction = 8,
                                    .stem = ResNetStem::deep,
                                    .stem_width = 32,
                                    .at_places = true};

std::shared_ptr<ImageModel> scenes_resnet(const char* slot, const BuildArgs& args) {
  return residual(scenes_trunk, slot, args);
}

std::shared_ptr<ImageModel> trunk_of_scenes(int64_t in_channels) {
  ResNetOptions options = scenes_trunk;
  options.slot = "cbam";
  options.in_channels = in_channels;
  options.num_classes = 0;
  return std::make_shared<ResNetImpl>(options);
}

// On the convolutions of scenes_resnet.
std::shared_ptr<ImageModel> scenes_vit(const char*, const BuildArgs& args) {
  return std::make_shared<VitImpl>(VitOptions{.image_size = args.image_size,
                                              .patch = 16,
                                              .dim = 192,
                                              .depth = 4,
                                              .heads = 6,
                                              .in_channels = args.in_channels,
                                              .num_classes = args.info.num_classes,
                                              .class_token = false,
                                              .pool = VitPool::average,
                                              .sinusoidal_start = true,
                                              .at_places = true,
                                              .backbone = trunk_of_scenes,
                                              .backbone_channels = scenes_trunk.widths.back()});
}

struct Row {
  const char* name;
  const char* family;
  const char* slot;  // of a ResNet
  const PreprocessOptions& pixels;
  int64_t classes;
  bool multi_label;
  std::shared_ptr<ImageModel> (*build)(const char* slot, const BuildArgs&);
};

constexpr Row table[] = {
    {"fovea_seresnet_fashion", "resnet", "se", fashion, 10, false, fashion_resnet},
    {"fovea_cbamresnet_fashion", "resnet", "cbam", fashion, 10, false, fashion_resnet},
    {"fovea_vit_fashion", "vit", "", fashion, 10, false, fashion_vit},
    {"fovea_swin_fashion", "swin", "", fashion, 10, false, fashion_swin},
    {"fovea_cbamresnet_scenes", "resnet", "cbam", scenes, 306, true, scenes_resnet},
    {"fovea_vit_scenes", "vit", "", scenes, 306, true, scenes_vit},
};

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows = pixel_networks::rows();
  for (const Row& row : table) {
    rows.push_back({{.name = row.name,
                     .family = row.family,
                     .preprocess = row.pixels,
                     .num_classes = row.classes,
                     .multi_label = row.multi_label},
                    [&row](const BuildArgs& args) { return row.build(row.slot, args); }});
  }
  return rows;
}

}  // namespace fovea::own
