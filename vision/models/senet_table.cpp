// The names of the first squeeze-and-excitation networks, as timm has them.
#include <array>

#include "fovea/vision/models/rows.h"
#include "fovea/vision/models/senet.h"

namespace fovea::senet {
namespace {

struct Row {
  const char* name;
  SenetBlock block;
  std::array<int64_t, 4> depths;
  int64_t groups = 1;
  Interpolation interpolation = Interpolation::bilinear;
};

constexpr Row table[] = {
    {"legacy_seresnet18", SenetBlock::basic, {2, 2, 2, 2}, 1, Interpolation::bicubic},
    {"legacy_seresnet34", SenetBlock::basic, {3, 4, 6, 3}},
    {"legacy_seresnet50", SenetBlock::bottleneck, {3, 4, 6, 3}},
    {"legacy_seresnet101", SenetBlock::bottleneck, {3, 4, 23, 3}},
    {"legacy_seresnet152", SenetBlock::bottleneck, {3, 8, 36, 3}},
    {"legacy_seresnext26_32x4d", SenetBlock::grouped, {2, 2, 2, 2}, 32, Interpolation::bicubic},
    {"legacy_seresnext50_32x4d", SenetBlock::grouped, {3, 4, 6, 3}, 32},
    {"legacy_seresnext101_32x4d", SenetBlock::grouped, {3, 4, 23, 3}, 32},
    {"legacy_senet154", SenetBlock::wide, {3, 8, 36, 3}, 64},
};

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  const bool wide = row.block == SenetBlock::wide;
  return std::make_shared<SenetImpl>(SenetOptions{.block = row.block,
                                                  .depths = {row.depths.begin(), row.depths.end()},
                                                  .groups = row.groups,
                                                  .deep_stem = wide,
                                                  .stem_width = wide ? 128 : 64,
                                                  .shortcut_kernel = wide ? 3 : 1,
                                                  .in_channels = args.in_channels,
                                                  .num_classes = args.info.num_classes});
}

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    ModelInfo info{.name = row.name, .family = "senet"};
    info.preprocess.crop_pct = 0.875;
    info.preprocess.interpolation = row.interpolation;
    rows.push_back({std::move(info), [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea::senet
