// The names of ViT and DeiT, as timm has them, and torchvision's.
#include "fovea/vision/models/rows.h"
#include "fovea/vision/models/vit.h"

namespace fovea {
namespace {

struct Size {
  int64_t dim, depth, heads;
};
constexpr Size tiny = {192, 12, 3};
constexpr Size small = {384, 12, 6};
constexpr Size base = {768, 12, 12};
constexpr Size large = {1024, 24, 16};

// What the published weights were normalised with.
enum class Pixels { half, imagenet };  // mean and std 0.5, or those of ImageNet

// Of torchvision's weights: the shorter side to this, bilinear. 0: timm's way.
using Resize = int64_t;

struct Row {
  const char* name;
  Size size;
  int64_t patch;
  int64_t image;
  Pixels pixels = Pixels::half;
  bool distilled = false;
  int64_t num_classes = 1000;  // 0: published as a backbone
  Resize resize = 0;
};

constexpr Row table[] = {
    {"vit_tiny_patch16_224", tiny, 16, 224},
    {"vit_tiny_patch16_384", tiny, 16, 384},
    {"vit_small_patch32_224", small, 32, 224},
    {"vit_small_patch32_384", small, 32, 384},
    {"vit_small_patch16_224", small, 16, 224},
    {"vit_small_patch16_384", small, 16, 384},
    {"vit_small_patch8_224", small, 8, 224, Pixels::imagenet, false, 0},
    {"vit_base_patch32_224", base, 32, 224},
    {"vit_base_patch32_384", base, 32, 384},
    {"vit_base_patch16_224", base, 16, 224},
    {"vit_base_patch16_384", base, 16, 384},
    {"vit_base_patch8_224", base, 8, 224},
    {"vit_large_patch32_224", large, 32, 224, Pixels::half, false, 0},
    {"vit_large_patch32_384", large, 32, 384},
    {"vit_large_patch16_224", large, 16, 224},
    {"vit_large_patch16_384", large, 16, 384},
    {"vit_large_patch14_224", large, 14, 224},
    {"deit_tiny_patch16_224", tiny, 16, 224, Pixels::imagenet},
    {"deit_small_patch16_224", small, 16, 224, Pixels::imagenet},
    {"deit_base_patch16_224", base, 16, 224, Pixels::imagenet},
    {"deit_base_patch16_384", base, 16, 384, Pixels::imagenet},
    {"deit_tiny_distilled_patch16_224", tiny, 16, 224, Pixels::imagenet, true},
    {"deit_small_distilled_patch16_224", small, 16, 224, Pixels::imagenet, true},
    {"deit_base_distilled_patch16_224", base, 16, 224, Pixels::imagenet, true},
    {"deit_base_distilled_patch16_384", base, 16, 384, Pixels::imagenet, true},
    {"vit_b_16", base, 16, 224, Pixels::imagenet, false, 1000, 256},
    {"vit_b_32", base, 32, 224, Pixels::imagenet, false, 1000, 256},
    {"vit_l_16", large, 16, 224, Pixels::imagenet, false, 1000, 242},
    {"vit_l_32", large, 32, 224, Pixels::imagenet, false, 1000, 256},
};

PreprocessOptions preprocessing(const Row& row) {
  PreprocessOptions options = {.height = row.image, .width = row.image, .crop_pct = row.image == 384 ? 1.0 : 0.9};
  if (row.pixels == Pixels::half) options.mean = options.std = {0.5, 0.5, 0.5};
  if (row.resize > 0) {
    options.crop_pct = static_cast<double>(row.image) / static_cast<double>(row.resize);
    options.interpolation = Interpolation::bilinear;
  }
  return options;
}

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  return std::make_shared<VitImpl>(VitOptions{.image_size = args.image_size,
                                              .patch = row.patch,
                                              .dim = row.size.dim,
                                              .depth = row.size.depth,
                                              .heads = row.size.heads,
                                              .in_channels = args.in_channels,
                                              .num_classes = args.info.num_classes,
                                              .distilled = row.distilled});
}

}  // namespace

std::vector<ModelRow> vit_rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    rows.push_back(
        {.info = {.name = row.name, .family = "vit", .preprocess = preprocessing(row), .num_classes = row.num_classes},
         .build = [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea
