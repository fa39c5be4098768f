// The names of MaxViT, as timm has them.
#include "fovea/vision/models/maxvit.h"
#include "fovea/vision/models/rows.h"

namespace fovea::maxvit {
namespace {

struct Size {
  std::vector<int64_t> stem, dims, depths;
};

struct Row {
  const char* name;
  const Size& size;
  int64_t image;
  bool tensorflow = true;
  int64_t num_classes = 1000;
};

const std::vector<Row>& table() {
  static const Size nano_rw = {{32, 64}, {64, 128, 256, 512}, {1, 2, 3, 1}};
  static const Size tiny_rw = {{32, 64}, {64, 128, 256, 512}, {2, 2, 5, 2}};
  static const Size tiny = {{64, 64}, {64, 128, 256, 512}, {2, 2, 5, 2}};
  static const Size small = {{64, 64}, {96, 192, 384, 768}, {2, 2, 5, 2}};
  static const Size base = {{64, 64}, {96, 192, 384, 768}, {2, 6, 14, 2}};
  static const Size large = {{128, 128}, {128, 256, 512, 1024}, {2, 6, 14, 2}};
  static const Size xlarge = {{192, 192}, {192, 384, 768, 1536}, {2, 6, 14, 2}};
  static const std::vector<Row> rows = {
      {"maxvit_nano_rw_256", nano_rw, 256, false},
      {"maxvit_tiny_rw_224", tiny_rw, 224, false},
      {"maxvit_tiny_tf_224", tiny, 224},
      {"maxvit_tiny_tf_384", tiny, 384},
      {"maxvit_tiny_tf_512", tiny, 512},
      {"maxvit_small_tf_224", small, 224},
      {"maxvit_small_tf_384", small, 384},
      {"maxvit_small_tf_512", small, 512},
      {"maxvit_base_tf_224", base, 224},
      {"maxvit_base_tf_384", base, 384},
      {"maxvit_base_tf_512", base, 512},
      {"maxvit_large_tf_224", large, 224},
      {"maxvit_large_tf_384", large, 384},
      {"maxvit_large_tf_512", large, 512},
      {"maxvit_xlarge_tf_224", xlarge, 224, true, 21843},
      {"maxvit_xlarge_tf_384", xlarge, 384},
      {"maxvit_xlarge_tf_512", xlarge, 512},
  };
  return rows;
}

// Google's at 224 pixels that were trained on ImageNet-1k alone see its mean and deviation, all others 0.5.
PreprocessOptions preprocessing(const Row& row) {
  PreprocessOptions how = {.height = row.image, .width = row.image, .crop_pct = 0.95};
  if (row.tensorflow && row.image > 224) {
    how.crop_pct = 1.0;
    how.crop_mode = CropMode::squash;
  }
  const bool imagenet = row.tensorflow && row.image == 224 && row.num_classes == 1000;
  if (!imagenet) how.mean = how.std = {0.5, 0.5, 0.5};
  return how;
}

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  return std::make_shared<MaxVitImpl>(MaxVitOptions{.image_size = args.image_size,
                                                    .stem = row.size.stem,
                                                    .dims = row.size.dims,
                                                    .depths = row.size.depths,
                                                    .in_channels = args.in_channels,
                                                    .num_classes = args.info.num_classes,
                                                    .tensorflow = row.tensorflow});
}

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table()) {
    rows.push_back({.info = {.name = row.name,
                             .family = "maxvit",
                             .preprocess = preprocessing(row),
                             .num_classes = row.num_classes},
                    .build = [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea::maxvit
