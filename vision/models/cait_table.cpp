// The names of CaiT, as timm has them.
#include "fovea/vision/models/cait.h"
#include "fovea/vision/models/rows.h"

namespace fovea::cait {
namespace {

struct Row {
  const char* name;
  int64_t image, dim, depth, heads;
  double layer_scale = 1e-5;
};

constexpr Row table[] = {
    {"cait_xxs24_224", 224, 192, 24, 4},      {"cait_xxs24_384", 384, 192, 24, 4},
    {"cait_xxs36_224", 224, 192, 36, 4},      {"cait_xxs36_384", 384, 192, 36, 4},
    {"cait_xs24_384", 384, 288, 24, 6},       {"cait_s24_224", 224, 384, 24, 8},
    {"cait_s24_384", 384, 384, 24, 8},        {"cait_s36_384", 384, 384, 36, 8, 1e-6},
    {"cait_m36_384", 384, 768, 36, 16, 1e-6}, {"cait_m48_448", 448, 768, 48, 16, 1e-6},
};

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    rows.push_back({.info = {.name = row.name,
                             .family = "cait",
                             .preprocess = {.height = row.image, .width = row.image, .crop_pct = 1.0}},
                    .build = [&row](const BuildArgs& args) -> std::shared_ptr<ImageModel> {
                      return std::make_shared<CaitImpl>(CaitOptions{.image_size = args.image_size,
                                                                    .dim = row.dim,
                                                                    .depth = row.depth,
                                                                    .heads = row.heads,
                                                                    .in_channels = args.in_channels,
                                                                    .num_classes = args.info.num_classes,
                                                                    .layer_scale = row.layer_scale});
                    }});
  }
  return rows;
}

}  // namespace fovea::cait
