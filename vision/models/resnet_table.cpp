// The names of ResNet, as timm has them; a slot that timm has no names for is written before them.
#include "fovea/vision/models/resnet.h"
#include "fovea/vision/models/rows.h"

namespace fovea {
namespace {

struct Shape {
  ResNetBlock block;
  std::array<int64_t, 4> depths;
};
constexpr Shape shape18 = {ResNetBlock::basic, {2, 2, 2, 2}};
constexpr Shape shape34 = {ResNetBlock::basic, {3, 4, 6, 3}};
constexpr Shape shape50 = {ResNetBlock::bottleneck, {3, 4, 6, 3}};
constexpr Shape shape101 = {ResNetBlock::bottleneck, {3, 4, 23, 3}};
constexpr Shape shape152 = {ResNetBlock::bottleneck, {3, 8, 36, 3}};

// What the default weights of timm were evaluated with (a1_in1k and a1h_in1k: 0.95; rows without weights: 0.875,
// bicubic), and the weights of CBAM's authors (shorter side to 256, then 224, bilinear).
struct Row {
  const char* name;
  const char* slot;  // a name of make_channel_attention, or empty
  Shape shape;
  double crop_pct;
  Interpolation interpolation = Interpolation::bicubic;
};

constexpr Row table[] = {
    {"resnet18", "", shape18, 0.95},
    {"resnet34", "", shape34, 0.95},
    {"resnet50", "", shape50, 0.95},
    {"resnet101", "", shape101, 0.95},
    {"resnet152", "", shape152, 0.95},
    {"seresnet18", "se", shape18, 0.875},
    {"seresnet34", "se", shape34, 0.875},
    {"seresnet50", "se", shape50, 0.95},
    {"seresnet101", "se", shape101, 0.875},
    {"seresnet152", "se", shape152, 0.875},
    {"cbamresnet18", "cbam", shape18, 0.875, Interpolation::bilinear},
    {"cbamresnet34", "cbam", shape34, 0.875, Interpolation::bilinear},
    {"cbamresnet50", "cbam", shape50, 0.875, Interpolation::bilinear},
    {"cbamresnet101", "cbam", shape101, 0.875, Interpolation::bilinear},
    {"cbamresnet152", "cbam", shape152, 0.875, Interpolation::bilinear},
};

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  return std::make_shared<ResNetImpl>(ResNetOptions{.block = row.shape.block,
                                                    .depths = {row.shape.depths.begin(), row.shape.depths.end()},
                                                    .slot = row.slot,
                                                    .in_channels = args.in_channels,
                                                    .num_classes = args.info.num_classes});
}

}  // namespace

std::vector<ModelRow> resnet_rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    ModelInfo info{.name = row.name, .family = "resnet"};
    info.preprocess.crop_pct = row.crop_pct;
    info.preprocess.interpolation = row.interpolation;
    rows.push_back({std::move(info), [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea
