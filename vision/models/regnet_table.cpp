// The names of RegNetY, as timm has them, and torchvision's.
#include <array>

#include "fovea/vision/models/regnet.h"
#include "fovea/vision/models/rows.h"

namespace fovea::regnet {
namespace {

struct Shape {
  std::array<int64_t, 4> depths;
  std::array<int64_t, 4> widths;
  int64_t group_width;
};
constexpr Shape y004 = {{1, 3, 6, 6}, {48, 104, 208, 440}, 8};
constexpr Shape y006 = {{1, 3, 7, 4}, {48, 112, 256, 608}, 16};
constexpr Shape y008 = {{1, 3, 8, 2}, {64, 128, 320, 768}, 16};
constexpr Shape y008_torchvision = {{1, 3, 8, 2}, {64, 144, 320, 784}, 16};  // rounds to groups another way
constexpr Shape y016 = {{2, 6, 17, 2}, {48, 120, 336, 888}, 24};
constexpr Shape y032 = {{2, 5, 13, 1}, {72, 216, 576, 1512}, 24};

struct Row {
  const char* name;
  Shape shape;
  double crop_pct;
  Interpolation interpolation = Interpolation::bicubic;
};
constexpr double kTorchvision = 224.0 / 232;

constexpr Row table[] = {
    {"regnety_004", y004, 0.965},
    {"regnety_006", y006, 0.875},
    {"regnety_008", y008, 0.875},
    {"regnety_008_tv", y008_torchvision, 0.965},
    {"regnety_016", y016, 0.965},
    {"regnety_032", y032, 0.95},
    {"regnet_y_400mf", y004, kTorchvision, Interpolation::bilinear},
    {"regnet_y_800mf", y008_torchvision, kTorchvision, Interpolation::bilinear},
    {"regnet_y_1_6gf", y016, kTorchvision, Interpolation::bilinear},
    {"regnet_y_3_2gf", y032, kTorchvision, Interpolation::bilinear},
};

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  const Shape& shape = row.shape;
  return std::make_shared<RegNetImpl>(RegNetOptions{.depths = {shape.depths.begin(), shape.depths.end()},
                                                    .widths = {shape.widths.begin(), shape.widths.end()},
                                                    .group_width = shape.group_width,
                                                    .in_channels = args.in_channels,
                                                    .num_classes = args.info.num_classes});
}

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    ModelInfo info{.name = row.name, .family = "regnet"};
    info.preprocess.crop_pct = row.crop_pct;
    info.preprocess.interpolation = row.interpolation;
    rows.push_back({std::move(info), [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea::regnet
