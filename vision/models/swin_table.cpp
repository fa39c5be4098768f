// The names of Swin and SwinV2, as timm has them, and torchvision's.
#include "fovea/vision/models/rows.h"
#include "fovea/vision/models/swin.h"

namespace fovea::swin {
namespace {

struct Size {
  int64_t dim;
  std::vector<int64_t> depths;
  std::vector<int64_t> heads;
};

struct Row {
  const char* name;
  Size size;
  int64_t window;
  int64_t image;
  SwinPadding padding = SwinPadding::timm;
  int64_t resize = 0;  // of torchvision's weights: the shorter side to this; 0: timm's way
  bool v2 = false;
  std::vector<int64_t> pretrained_windows = {};
  int64_t num_classes = 1000;
};

const std::vector<Row>& table() {
  static const Size tiny = {96, {2, 2, 6, 2}, {3, 6, 12, 24}};
  static const Size small = {96, {2, 2, 18, 2}, {3, 6, 12, 24}};
  static const Size base = {128, {2, 2, 18, 2}, {4, 8, 16, 32}};
  static const Size large = {192, {2, 2, 18, 2}, {6, 12, 24, 48}};
  static const std::vector<int64_t> tuned = {12, 12, 12, 6};  // windows before fine-tuning at a larger size
  constexpr auto timm = SwinPadding::timm;
  static const std::vector<Row> rows = {
      {"swin_tiny_patch4_window7_224", tiny, 7, 224},
      {"swin_small_patch4_window7_224", small, 7, 224},
      {"swin_base_patch4_window7_224", base, 7, 224},
      {"swin_base_patch4_window12_384", base, 12, 384},
      {"swin_large_patch4_window7_224", large, 7, 224},
      {"swin_large_patch4_window12_384", large, 12, 384},
      {"swin_t", tiny, 7, 224, SwinPadding::torchvision, 232},
      {"swin_s", small, 7, 224, SwinPadding::torchvision, 246},
      {"swin_b", base, 7, 224, SwinPadding::torchvision, 238},
      {"swinv2_tiny_window8_256", tiny, 8, 256, timm, 0, true},
      {"swinv2_tiny_window16_256", tiny, 16, 256, timm, 0, true},
      {"swinv2_small_window8_256", small, 8, 256, timm, 0, true},
      {"swinv2_small_window16_256", small, 16, 256, timm, 0, true},
      {"swinv2_base_window8_256", base, 8, 256, timm, 0, true},
      {"swinv2_base_window16_256", base, 16, 256, timm, 0, true},
      {"swinv2_base_window12_192", base, 12, 192, timm, 0, true, {}, 21841},
      {"swinv2_base_window12to16_192to256", base, 16, 256, timm, 0, true, tuned},
      {"swinv2_base_window12to24_192to384", base, 24, 384, timm, 0, true, tuned},
      {"swinv2_large_window12_192", large, 12, 192, timm, 0, true, {}, 21841},
      {"swinv2_large_window12to16_192to256", large, 16, 256, timm, 0, true, tuned},
      {"swinv2_large_window12to24_192to384", large, 24, 384, timm, 0, true, tuned},
      {"swin_v2_t", tiny, 8, 256, SwinPadding::torchvision, 260, true},
      {"swin_v2_s", small, 8, 256, SwinPadding::torchvision, 260, true},
      {"swin_v2_b", base, 8, 256, SwinPadding::torchvision, 272, true},
  };
  return rows;
}

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  return std::make_shared<SwinImpl>(SwinOptions{.image_size = args.image_size,
                                                .window = row.window,
                                                .dim = row.size.dim,
                                                .depths = row.size.depths,
                                                .heads = row.size.heads,
                                                .in_channels = args.in_channels,
                                                .num_classes = args.info.num_classes,
                                                .padding = row.padding,
                                                .drop_path = 0.1,
                                                .v2 = row.v2,
                                                .pretrained_windows = row.pretrained_windows});
}

double crop_pct(const Row& row) {
  if (row.resize > 0) return static_cast<double>(row.image) / static_cast<double>(row.resize);
  return row.image == 384 ? 1.0 : 0.9;
}

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table()) {
    rows.push_back({.info = {.name = row.name,
                             .family = "swin",
                             .preprocess = {.height = row.image, .width = row.image, .crop_pct = crop_pct(row)},
                             .num_classes = row.num_classes},
                    .build = [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea::swin
