// The names of MobileNetV3, as timm has them, and torchvision's, whose norms add another epsilon.
#include <span>

#include "fovea/modules/channel/gate.h"
#include "fovea/vision/models/efficientnet.h"
#include "fovea/vision/models/rows.h"

namespace fovea::mobilenetv3 {
namespace {

struct Block {
  size_t stage;
  int64_t kernel, stride, inner, width;
  bool squeezed;
  Activation activation = Activation::hard_swish;
};

// Table 1 and table 2 of the paper. The first block of each does not widen.
constexpr Block large[] = {
    {0, 3, 1, 16, 16, false, Activation::relu},
    {1, 3, 2, 64, 24, false, Activation::relu},
    {1, 3, 1, 72, 24, false, Activation::relu},
    {2, 5, 2, 72, 40, true, Activation::relu},
    {2, 5, 1, 120, 40, true, Activation::relu},
    {2, 5, 1, 120, 40, true, Activation::relu},
    {3, 3, 2, 240, 80, false},
    {3, 3, 1, 200, 80, false},
    {3, 3, 1, 184, 80, false},
    {3, 3, 1, 184, 80, false},
    {4, 3, 1, 480, 112, true},
    {4, 3, 1, 672, 112, true},
    {5, 5, 2, 672, 160, true},
    {5, 5, 1, 960, 160, true},
    {5, 5, 1, 960, 160, true},
};
constexpr Block small[] = {
    {0, 3, 2, 16, 16, true, Activation::relu},
    {1, 3, 2, 72, 24, false, Activation::relu},
    {1, 3, 1, 88, 24, false, Activation::relu},
    {2, 5, 2, 96, 40, true},
    {2, 5, 1, 240, 40, true},
    {2, 5, 1, 240, 40, true},
    {3, 5, 1, 120, 48, true},
    {3, 5, 1, 144, 48, true},
    {4, 5, 2, 288, 96, true},
    {4, 5, 1, 576, 96, true},
    {4, 5, 1, 576, 96, true},
};

enum class Origin { timm, tensorflow, torchvision };

struct Row {
  const char* name;
  bool is_large;
  Origin origin;
  double crop_pct;
  Interpolation interpolation;
};

constexpr Row table[] = {
    {"mobilenetv3_large_100", true, Origin::timm, 0.875, Interpolation::bicubic},
    {"mobilenetv3_small_100", false, Origin::timm, 0.875, Interpolation::bicubic},
    {"tf_mobilenetv3_large_100", true, Origin::tensorflow, 0.875, Interpolation::bilinear},
    {"tf_mobilenetv3_small_100", false, Origin::tensorflow, 0.875, Interpolation::bilinear},
    {"mobilenet_v3_large", true, Origin::torchvision, 224.0 / 232, Interpolation::bilinear},
    {"mobilenet_v3_small", false, Origin::torchvision, 224.0 / 256, Interpolation::bilinear},
};

EfficientNetOptions options_of(const Row& row) {
  EfficientNetOptions options{.stem_width = 16,
                              .head_width = row.is_large ? 1280 : 1024,
                              .head = EfficientNetHead::pooled,
                              .activation = Activation::hard_swish,
                              .same_padding = row.origin == Origin::tensorflow,
                              .norm_eps = row.origin == Origin::timm ? 1e-5 : 1e-3};
  int64_t channels = options.stem_width;
  const auto add = [&](size_t stage, InvertedResidualOptions block) {
    block.in_channels = channels;
    block.same_padding = options.same_padding;
    block.norm_eps = options.norm_eps;
    channels = block.out_channels;
    options.stages.resize(stage + 1);
    options.stages[stage].push_back(block);
  };
  const auto fourth = [](int64_t inner) { return rounded_width(static_cast<double>(inner) / 4, 8, 8); };
  for (const Block& block : row.is_large ? std::span<const Block>(large) : std::span<const Block>(small)) {
    add(block.stage, {.kind = block.stage == 0 ? InvertedBlock::separable : InvertedBlock::inverted,
                      .inner_channels = block.inner,
                      .out_channels = block.width,
                      .kernel = block.kernel,
                      .stride = block.stride,
                      .squeeze = block.squeezed ? fourth(block.inner) : 0,
                      .gate = Gate::hard_sigmoid,
                      .activation = block.activation});
  }
  add(options.stages.size(),
      {.kind = InvertedBlock::plain, .out_channels = 6 * channels, .kernel = 1, .activation = Activation::hard_swish});
  return options;
}

std::shared_ptr<ImageModel> build(const Row& row, const BuildArgs& args) {
  EfficientNetOptions options = options_of(row);
  options.in_channels = args.in_channels;
  options.num_classes = args.info.num_classes;
  return std::make_shared<EfficientNetImpl>(options);
}

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    ModelInfo info{.name = row.name, .family = "mobilenetv3"};
    info.preprocess.crop_pct = row.crop_pct;
    info.preprocess.interpolation = row.interpolation;
    if (row.origin == Origin::tensorflow) info.preprocess.mean = info.preprocess.std = {0.5, 0.5, 0.5};
    rows.push_back({std::move(info), [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea::mobilenetv3
