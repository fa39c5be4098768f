// The names of VGG, which timm and torchvision share.
#include <array>

#include "fovea/vision/models/rows.h"
#include "fovea/vision/models/vgg.h"

namespace fovea::vgg {
namespace {

struct Row {
  const char* name;
  std::array<int64_t, 5> depths;
  bool norm;
};

constexpr Row table[] = {
    {"vgg16", {2, 2, 3, 3, 3}, false},
    {"vgg16_bn", {2, 2, 3, 3, 3}, true},
    {"vgg19", {2, 2, 4, 4, 4}, false},
    {"vgg19_bn", {2, 2, 4, 4, 4}, true},
};

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  return std::make_shared<VggImpl>(VggOptions{.depths = {row.depths.begin(), row.depths.end()},
                                              .norm = row.norm,
                                              .in_channels = args.in_channels,
                                              .num_classes = args.info.num_classes});
}

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    ModelInfo info{.name = row.name, .family = "vgg"};
    info.preprocess.crop_pct = 0.875;
    info.preprocess.interpolation = Interpolation::bilinear;
    rows.push_back({std::move(info), [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea::vgg
