// The names of ViT and its kin, as timm has them, and torchvision's.
#include "fovea/vision/models/rows.h"
#include "fovea/vision/models/vit.h"

namespace fovea::vit {
namespace {

struct Size {
  int64_t dim, depth, heads;
  double mlp_ratio = 4;
};
constexpr Size tiny = {192, 12, 3};
constexpr Size small = {384, 12, 6};
constexpr Size medium = {512, 12, 8};
constexpr Size base = {768, 12, 12};
constexpr Size large = {1024, 24, 16};
constexpr Size so400m = {1152, 27, 16, 3.7362};
constexpr Size huge = {1280, 32, 16};
constexpr Size giant = {1536, 40, 24, 2.66667 * 2};

// What the published weights were normalised with.
struct Pixels {
  std::array<double, 3> mean, std;
};
constexpr Pixels half = {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};
constexpr Pixels imagenet = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
constexpr Pixels openai = {{0.48145466, 0.4578275, 0.40821073}, {0.26862954, 0.26130258, 0.27577711}};

// What the networks of one publication share beside their size.
constexpr VitOptions plain = {};
constexpr VitOptions distilled = {.distilled = true};
constexpr VitOptions deit3 = {.layer_scale = 1e-6, .embed_prefix = false};
constexpr VitOptions dinov2 = {.layer_scale = 1e-5};
constexpr VitOptions dinov2_giant = {.layer_scale = 1e-5, .swiglu = true};
constexpr VitOptions dinov2_reg4 = {.layer_scale = 1e-5, .registers = 4, .embed_prefix = false};
constexpr VitOptions dinov2_reg4_giant = {.layer_scale = 1e-5, .registers = 4, .embed_prefix = false, .swiglu = true};
constexpr VitOptions gap = {.qkv_bias = false, .layer_scale = 1e-6, .class_token = false, .pool = VitPool::average};
constexpr VitOptions eva = {.pool = VitPool::average, .fc_norm = true};
constexpr VitOptions clip = {.pre_norm = true, .norm_eps = 1e-5};
constexpr VitOptions quick_clip = {.pre_norm = true, .activation = Activation::quick_gelu, .norm_eps = 1e-5};
constexpr VitOptions siglip = {.class_token = false, .pool = VitPool::attention};
constexpr VitOptions siglip_cut = {.class_token = false, .pool = VitPool::attention, .cut = true};
constexpr VitOptions siglip_tanh = {
    .class_token = false, .pool = VitPool::attention, .activation = Activation::gelu_tanh};

struct Row {
  const char* name;
  Size size;
  int64_t patch;
  int64_t image;
  const VitOptions& kind = plain;
  const Pixels& pixels = half;
  double crop_pct = 0.9;
  int64_t num_classes = 1000;  // 0: published as a backbone; CLIP: the width that images and texts share
  CropMode crop_mode = CropMode::center;
  Interpolation interpolation = Interpolation::bicubic;
};

constexpr auto squash = CropMode::squash;

constexpr Row table[] = {
    {"vit_tiny_patch16_224", tiny, 16, 224},
    {"vit_tiny_patch16_384", tiny, 16, 384, plain, half, 1.0},
    {"vit_small_patch32_224", small, 32, 224},
    {"vit_small_patch32_384", small, 32, 384, plain, half, 1.0},
    {"vit_small_patch16_224", small, 16, 224},
    {"vit_small_patch16_384", small, 16, 384, plain, half, 1.0},
    {"vit_small_patch8_224", small, 8, 224, plain, imagenet, 0.9, 0},
    {"vit_base_patch32_224", base, 32, 224},
    {"vit_base_patch32_384", base, 32, 384, plain, half, 1.0},
    {"vit_base_patch16_224", base, 16, 224},
    {"vit_base_patch16_384", base, 16, 384, plain, half, 1.0},
    {"vit_base_patch8_224", base, 8, 224},
    {"vit_large_patch32_224", large, 32, 224, plain, half, 0.9, 0},
    {"vit_large_patch32_384", large, 32, 384, plain, half, 1.0},
    {"vit_large_patch16_224", large, 16, 224},
    {"vit_large_patch16_384", large, 16, 384, plain, half, 1.0},
    {"vit_large_patch14_224", large, 14, 224},
    {"vit_medium_patch16_gap_240", medium, 16, 240, gap, half, 0.95, 11821},
    {"vit_medium_patch16_gap_256", medium, 16, 256, gap, half, 0.95},
    {"vit_medium_patch16_gap_384", medium, 16, 384, gap, half, 0.95, 1000, squash},
    {"eva_large_patch14_196", large, 14, 196, eva, openai, 1.0},
    {"eva_large_patch14_336", large, 14, 336, eva, openai, 1.0, 1000, squash},

    {"deit_tiny_patch16_224", tiny, 16, 224, plain, imagenet},
    {"deit_small_patch16_224", small, 16, 224, plain, imagenet},
    {"deit_base_patch16_224", base, 16, 224, plain, imagenet},
    {"deit_base_patch16_384", base, 16, 384, plain, imagenet, 1.0},
    {"deit_tiny_distilled_patch16_224", tiny, 16, 224, distilled, imagenet},
    {"deit_small_distilled_patch16_224", small, 16, 224, distilled, imagenet},
    {"deit_base_distilled_patch16_224", base, 16, 224, distilled, imagenet},
    {"deit_base_distilled_patch16_384", base, 16, 384, distilled, imagenet, 1.0},
    {"deit3_small_patch16_224", small, 16, 224, deit3, imagenet},
    {"deit3_small_patch16_384", small, 16, 384, deit3, imagenet, 1.0},
    {"deit3_medium_patch16_224", medium, 16, 224, deit3, imagenet},
    {"deit3_base_patch16_224", base, 16, 224, deit3, imagenet},
    {"deit3_base_patch16_384", base, 16, 384, deit3, imagenet, 1.0},
    {"deit3_large_patch16_224", large, 16, 224, deit3, imagenet},
    {"deit3_large_patch16_384", large, 16, 384, deit3, imagenet, 1.0},
    {"deit3_huge_patch14_224", huge, 14, 224, deit3, imagenet},

    {"vit_small_patch14_dinov2", small, 14, 518, dinov2, imagenet, 1.0, 0},
    {"vit_base_patch14_dinov2", base, 14, 518, dinov2, imagenet, 1.0, 0},
    {"vit_large_patch14_dinov2", large, 14, 518, dinov2, imagenet, 1.0, 0},
    {"vit_giant_patch14_dinov2", giant, 14, 518, dinov2_giant, imagenet, 1.0, 0},
    {"vit_small_patch14_reg4_dinov2", small, 14, 518, dinov2_reg4, imagenet, 1.0, 0},
    {"vit_base_patch14_reg4_dinov2", base, 14, 518, dinov2_reg4, imagenet, 1.0, 0},
    {"vit_large_patch14_reg4_dinov2", large, 14, 518, dinov2_reg4, imagenet, 1.0, 0},
    {"vit_giant_patch14_reg4_dinov2", giant, 14, 518, dinov2_reg4_giant, imagenet, 1.0, 0},

    {"vit_base_patch32_clip_224", base, 32, 224, clip, openai},
    {"vit_base_patch32_clip_256", base, 32, 256, clip, openai, 1.0, 512},
    {"vit_base_patch32_clip_384", base, 32, 384, clip, openai, 1.0},
    {"vit_base_patch32_clip_448", base, 32, 448, clip, openai, 1.0},
    {"vit_base_patch16_clip_224", base, 16, 224, clip, openai, 0.95},
    {"vit_base_patch16_clip_384", base, 16, 384, clip, openai, 1.0, 1000, squash},
    {"vit_large_patch14_clip_224", large, 14, 224, clip, half, 1.0},
    {"vit_large_patch14_clip_336", large, 14, 336, clip, half, 1.0, 1000, squash},
    {"vit_huge_patch14_clip_224", huge, 14, 224, clip, openai, 1.0},
    {"vit_huge_patch14_clip_336", huge, 14, 336, clip, openai, 1.0, 1000, squash},
    {"vit_base_patch32_clip_quickgelu_224", base, 32, 224, quick_clip, openai, 0.9, 512},
    {"vit_base_patch16_clip_quickgelu_224", base, 16, 224, quick_clip, openai, 1.0, 512},
    {"vit_large_patch14_clip_quickgelu_224", large, 14, 224, quick_clip, openai, 1.0, 768},
    {"vit_large_patch14_clip_quickgelu_336", large, 14, 336, quick_clip, openai, 1.0, 768},

    {"vit_base_patch32_siglip_256", base, 32, 256, siglip_tanh, half, 0.9, 0},
    {"vit_base_patch16_siglip_224", base, 16, 224, siglip, half, 0.9, 0},
    {"vit_base_patch16_siglip_256", base, 16, 256, siglip, half, 0.9, 0},
    {"vit_base_patch16_siglip_384", base, 16, 384, siglip, half, 0.9, 0},
    {"vit_base_patch16_siglip_512", base, 16, 512, siglip, half, 0.9, 0},
    {"vit_large_patch16_siglip_256", large, 16, 256, siglip, half, 0.9, 0},
    {"vit_large_patch16_siglip_384", large, 16, 384, siglip, half, 0.9, 0},
    {"vit_large_patch16_siglip_512", large, 16, 512, siglip_tanh, half, 0.9, 0},
    {"vit_so400m_patch14_siglip_224", so400m, 14, 224, siglip, half, 0.9, 0},
    {"vit_so400m_patch14_siglip_378", so400m, 14, 378, siglip, half, 0.9, 0},
    {"vit_so400m_patch14_siglip_384", so400m, 14, 384, siglip_cut, half, 0.9, 0},
    {"vit_so400m_patch16_siglip_256", so400m, 16, 256, siglip_tanh, half, 0.9, 0},
    {"vit_so400m_patch16_siglip_384", so400m, 16, 384, siglip_tanh, half, 0.9, 0},
    {"vit_so400m_patch16_siglip_512", so400m, 16, 512, siglip_tanh, half, 0.9, 0},

    // torchvision's: the shorter side to 256 (242), bilinear.
    {"vit_b_16", base, 16, 224, plain, imagenet, 224.0 / 256, 1000, CropMode::center, Interpolation::bilinear},
    {"vit_b_32", base, 32, 224, plain, imagenet, 224.0 / 256, 1000, CropMode::center, Interpolation::bilinear},
    {"vit_l_16", large, 16, 224, plain, imagenet, 224.0 / 242, 1000, CropMode::center, Interpolation::bilinear},
    {"vit_l_32", large, 32, 224, plain, imagenet, 224.0 / 256, 1000, CropMode::center, Interpolation::bilinear},
};

PreprocessOptions preprocessing(const Row& row) {
  return {.height = row.image,
          .width = row.image,
          .crop_pct = row.crop_pct,
          .crop_mode = row.crop_mode,
          .interpolation = row.interpolation,
          .mean = row.pixels.mean,
          .std = row.pixels.std};
}

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  VitOptions options = row.kind;
  options.image_size = args.image_size;
  options.patch = row.patch;
  options.dim = row.size.dim;
  options.depth = row.size.depth;
  options.heads = row.size.heads;
  options.mlp_ratio = row.size.mlp_ratio;
  options.in_channels = args.in_channels;
  options.num_classes = args.info.num_classes;
  return std::make_shared<VitImpl>(options);
}

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    rows.push_back(
        {.info = {.name = row.name, .family = "vit", .preprocess = preprocessing(row), .num_classes = row.num_classes},
         .build = [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea::vit
