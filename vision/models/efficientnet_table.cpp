// The names of EfficientNet, as timm has them: the convolutions of PyTorch, and of TensorFlow with its padding.
#include <cmath>

#include "fovea/modules/channel/gate.h"
#include "fovea/vision/models/efficientnet.h"
#include "fovea/vision/models/rows.h"

namespace fovea::efficientnet {
namespace {

// Of B0; the others multiply depth and width.
struct Stage {
  int64_t depth, kernel, stride, expansion, width;
};
constexpr Stage stages[] = {{1, 3, 1, 1, 16},  {2, 3, 2, 6, 24},  {2, 5, 2, 6, 40}, {3, 3, 2, 6, 80},
                            {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192}, {1, 3, 1, 6, 320}};

struct Row {
  const char* name;
  double width, depth;  // factors of B0's
  int64_t side;         // of the pictures
  double crop_pct;
  bool tensorflow = false;
  bool half = false;  // mean and deviation 0.5 instead of ImageNet's
};

constexpr Row table[] = {
    {"efficientnet_b0", 1.0, 1.0, 224, 0.875},          {"efficientnet_b1", 1.0, 1.1, 240, 0.9, false, true},
    {"efficientnet_b2", 1.1, 1.2, 256, 0.875},          {"efficientnet_b3", 1.2, 1.4, 288, 0.875},
    {"efficientnet_b4", 1.4, 1.8, 320, 0.875},          {"tf_efficientnet_b0", 1.0, 1.0, 224, 0.875, true},
    {"tf_efficientnet_b1", 1.0, 1.1, 240, 0.882, true}, {"tf_efficientnet_b2", 1.1, 1.2, 260, 0.890, true},
    {"tf_efficientnet_b3", 1.2, 1.4, 300, 0.904, true}, {"tf_efficientnet_b4", 1.4, 1.8, 380, 0.922, true},
};

EfficientNetOptions options_of(const Row& row) {
  const auto wide = [&](int64_t channels) { return rounded_width(static_cast<double>(channels) * row.width, 8, 8); };
  EfficientNetOptions options{.stem_width = wide(32),
                              .head_width = wide(1280),
                              .same_padding = row.tensorflow,
                              .norm_eps = row.tensorflow ? 1e-3 : 1e-5};
  int64_t channels = options.stem_width;
  for (const Stage& stage : stages) {
    const auto depth = static_cast<int64_t>(std::ceil(static_cast<double>(stage.depth) * row.depth));
    auto& blocks = options.stages.emplace_back();
    for (int64_t n = 0; n < depth; ++n) {
      blocks.push_back({.kind = stage.expansion == 1 ? InvertedBlock::separable : InvertedBlock::inverted,
                        .in_channels = channels,
                        .inner_channels = channels * stage.expansion,
                        .out_channels = wide(stage.width),
                        .kernel = stage.kernel,
                        .stride = n == 0 ? stage.stride : 1,
                        .squeeze = channels / 4,
                        .squeeze_activation = Activation::silu,
                        .activation = Activation::silu,
                        .same_padding = options.same_padding,
                        .norm_eps = options.norm_eps});
      channels = blocks.back().out_channels;
    }
  }
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
    ModelInfo info{.name = row.name, .family = "efficientnet"};
    info.preprocess = {.height = row.side, .width = row.side, .crop_pct = row.crop_pct};
    if (row.half) info.preprocess.mean = info.preprocess.std = {0.5, 0.5, 0.5};
    rows.push_back({std::move(info), [&row](const BuildArgs& args) { return build(row, args); }});
  }
  return rows;
}

}  // namespace fovea::efficientnet
