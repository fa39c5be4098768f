// The names of ResNet and its kin, as timm has them; a slot that timm has no names for is written before them.
#include <array>

#include "fovea/vision/models/resnet.h"
#include "fovea/vision/models/rows.h"

namespace fovea::resnet {
namespace {

struct Shape {
  ResNetBlock block;
  std::array<int64_t, 4> depths;
};
constexpr Shape shape18 = {ResNetBlock::basic, {2, 2, 2, 2}};
constexpr Shape shape34 = {ResNetBlock::basic, {3, 4, 6, 3}};
constexpr Shape shape26 = {ResNetBlock::bottleneck, {2, 2, 2, 2}};
constexpr Shape shape50 = {ResNetBlock::bottleneck, {3, 4, 6, 3}};
constexpr Shape shape101 = {ResNetBlock::bottleneck, {3, 4, 23, 3}};
constexpr Shape shape152 = {ResNetBlock::bottleneck, {3, 8, 36, 3}};
constexpr Shape shape200 = {ResNetBlock::bottleneck, {3, 24, 36, 3}};
constexpr Shape shape269 = {ResNetBlock::bottleneck, {3, 30, 48, 8}};
constexpr Shape shape_light = {ResNetBlock::bottleneck, {1, 1, 11, 3}};

// How a variant differs from He et al.'s network: the letter behind timm's names.
struct Variant {
  ResNetStem stem = ResNetStem::pooled;
  bool mean_shortcut = false;
  int64_t groups = 1;
  int64_t base_width = 64;
};
constexpr Variant plain = {};
constexpr Variant light = {ResNetStem::pooled, true};
constexpr Variant d = {ResNetStem::deep, true};
constexpr Variant t = {ResNetStem::tiered, true};
constexpr Variant wide = {ResNetStem::pooled, false, 1, 128};

constexpr Variant grouped(Variant variant, int64_t groups, int64_t base_width) {
  variant.groups = groups;
  variant.base_width = base_width;
  return variant;
}

// How pictures are prepared for the default weights of timm (of rows without weights: its usual way), and for those of
// CBAM's authors (shorter side to 256, then 224, bilinear).
struct Picture {
  double crop_pct = 0.875;
  int64_t side = 224;
  Interpolation interpolation = Interpolation::bicubic;
};
constexpr Picture usual = {};
constexpr Picture whole = {0.95};
constexpr Picture large = {0.875, 256};
constexpr Picture large_whole = {0.95, 256};
constexpr Picture bilinear = {0.875, 224, Interpolation::bilinear};

struct Row {
  const char* name;
  const char* slot;  // a name of make_channel_attention, or empty
  Shape shape;
  Variant variant;
  Picture picture;
};

constexpr Row table[] = {
    {"resnet18", "", shape18, plain, whole},
    {"resnet34", "", shape34, plain, whole},
    {"resnet50", "", shape50, plain, whole},
    {"resnet101", "", shape101, plain, whole},
    {"resnet152", "", shape152, plain, whole},
    {"resnet50d", "", shape50, d, usual},
    {"resnet101d", "", shape101, d, large_whole},
    {"resnet152d", "", shape152, d, large_whole},
    {"wide_resnet50_2", "", shape50, wide, usual},
    {"wide_resnet101_2", "", shape101, wide, bilinear},
    {"resnext50_32x4d", "", shape50, grouped(plain, 32, 4), whole},
    {"resnext50d_32x4d", "", shape50, grouped(d, 32, 4), usual},
    {"resnext101_32x4d", "", shape101, grouped(plain, 32, 4), bilinear},
    {"resnext101_32x8d", "", shape101, grouped(plain, 32, 8), bilinear},
    {"resnext101_64x4d", "", shape101, grouped(plain, 64, 4), whole},
    {"seresnet18", "se", shape18, plain, usual},
    {"seresnet34", "se", shape34, plain, usual},
    {"seresnet50", "se", shape50, plain, whole},
    {"seresnet50t", "se", shape50, t, usual},
    {"seresnet101", "se", shape101, plain, usual},
    {"seresnet152", "se", shape152, plain, usual},
    {"seresnet152d", "se", shape152, d, large_whole},
    {"seresnet200d", "se", shape200, d, large},
    {"seresnet269d", "se", shape269, d, large},
    {"seresnext26d_32x4d", "se", shape26, grouped(d, 32, 4), usual},
    {"seresnext26t_32x4d", "se", shape26, grouped(t, 32, 4), usual},
    {"seresnext50_32x4d", "se", shape50, grouped(plain, 32, 4), usual},
    {"seresnext101_32x4d", "se", shape101, grouped(plain, 32, 4), usual},
    {"seresnext101_32x8d", "se", shape101, grouped(plain, 32, 8), whole},
    {"seresnext101d_32x8d", "se", shape101, grouped(d, 32, 8), whole},
    {"seresnext101_64x4d", "se", shape101, grouped(plain, 64, 4), usual},
    {"ecaresnet26t", "eca", shape26, t, large},
    {"ecaresnetlight", "eca", shape_light, light, usual},
    {"ecaresnet50d", "eca", shape50, d, usual},
    {"ecaresnet50t", "eca", shape50, t, large},
    {"ecaresnet101d", "eca", shape101, d, usual},
    {"ecaresnet200d", "eca", shape200, d, large_whole},
    {"ecaresnet269d", "eca", shape269, d, {0.95, 320}},
    {"ecaresnext26t_32x4d", "eca", shape26, grouped(t, 32, 4), usual},
    {"ecaresnext50t_32x4d", "eca", shape50, grouped(t, 32, 4), usual},
    {"cbamresnet18", "cbam", shape18, plain, bilinear},
    {"cbamresnet34", "cbam", shape34, plain, bilinear},
    {"cbamresnet50", "cbam", shape50, plain, bilinear},
    {"cbamresnet101", "cbam", shape101, plain, bilinear},
    {"cbamresnet152", "cbam", shape152, plain, bilinear},
};

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  const BlockAttention attention = args.info.attention.value_or(BlockAttention{.name = row.slot});
  return std::make_shared<ResNetImpl>(ResNetOptions{.block = row.shape.block,
                                                    .depths = {row.shape.depths.begin(), row.shape.depths.end()},
                                                    .slot = attention.name,
                                                    .stem = row.variant.stem,
                                                    .in_channels = args.in_channels,
                                                    .num_classes = args.info.num_classes,
                                                    .groups = row.variant.groups,
                                                    .base_width = row.variant.base_width,
                                                    .mean_shortcut = row.variant.mean_shortcut,
                                                    .slot_stages = attention.stages,
                                                    .image_size = args.image_size});
}

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    const Picture& picture = row.picture;
    ModelInfo info{.name = row.name, .family = "resnet"};
    info.preprocess = {.height = picture.side,
                       .width = picture.side,
                       .crop_pct = picture.crop_pct,
                       .interpolation = picture.interpolation};
    rows.push_back({std::move(info), [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea::resnet
