// torchvision's EfficientNet, MobileNetV3, RegNet and VGG. Its ResNets and ResNeXts have timm's keys.
#include <deque>

#include "fovea/modules/weights/layout.h"

namespace fovea {
namespace {

constexpr IndexShift kPreviousStage = {.add = -1};  // features.2 … are blocks.1 …
constexpr IndexShift kFromOne = {.add = 1};         // the first block of a stage is b1

// A key that was put together: it lives as long as the program, as those of the tables do.
std::string_view kept(std::string key) {
  static std::deque<std::string> keys;
  return keys.emplace_back(std::move(key));
}

// The blocks of MobileNetV3 are one row there, and what a block lacks moves the rest forward. One letter a block: x
// with squeeze-and-excitation, . without.
std::vector<LayoutRow> mobile_rows(const std::vector<std::string_view>& stages) {
  std::vector<LayoutRow> rows = {
      {"features.0.0.*", "conv_stem.*"},
      {"features.0.1.*", "bn1.*"},
      {"classifier.0.*", "conv_head.*", &change::kMatrixToConv1x1},
      {"classifier.3.*", "classifier.*"},
  };
  int place = 1;
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    for (size_t n = 0; n < stages[stage].size(); ++n, ++place) {
      int part = 0;
      const auto add = [&](std::string_view theirs, std::string_view ours) {
        rows.push_back({kept(fmt::format("features.{}.block.{}.{}.*", place, part, theirs)),
                        kept(fmt::format("blocks.{}.{}.{}.*", stage, n, ours))});
      };
      const bool widens = stage > 0;
      const std::vector<std::string_view> convs = widens
                                                      ? std::vector<std::string_view>{"conv_pw", "conv_dw", "conv_pwl"}
                                                      : std::vector<std::string_view>{"conv_dw", "conv_pw"};
      for (size_t i = 0; i < convs.size(); ++i) {
        if (i + 1 == convs.size() && stages[stage][n] == 'x') {
          add("fc1", "se.conv_reduce");
          add("fc2", "se.conv_expand");
          ++part;
        }
        add("0", convs[i]);
        add("1", kept(fmt::format("bn{}", i + 1)));
        ++part;
      }
    }
  }
  rows.push_back({kept(fmt::format("features.{}.0.*", place)), kept(fmt::format("blocks.{}.0.conv.*", stages.size()))});
  rows.push_back({kept(fmt::format("features.{}.1.*", place)), kept(fmt::format("blocks.{}.0.bn1.*", stages.size()))});
  return rows;
}

std::vector<LayoutRow> regnet_rows() {
  constexpr std::pair<std::string_view, std::string_view> parts[] = {
      {"proj.0", "downsample.conv"}, {"proj.1", "downsample.bn"}, {"f.a.0", "conv1.conv"},
      {"f.a.1", "conv1.bn"},         {"f.b.0", "conv2.conv"},     {"f.b.1", "conv2.bn"},
      {"f.c.0", "conv3.conv"},       {"f.c.1", "conv3.bn"},       {"f.se", "se"},
  };
  std::vector<LayoutRow> rows = {{"stem.0.*", "stem.conv.*"}, {"stem.1.*", "stem.bn.*"}, {"fc.*", "head.fc.*"}};
  for (int stage = 1; stage <= 4; ++stage) {
    for (const auto& [theirs, ours] : parts) {
      rows.push_back({kept(fmt::format("trunk_output.block{0}.block{0}-#.{1}.*", stage, theirs)),
                      kept(fmt::format("s{}.b#.{}.*", stage, ours)), nullptr, kFromOne});
    }
  }
  return rows;
}

// VGG's first wide layer reads the 7×7 pixels of each channel one after the other.
constexpr int64_t kVggWindow = 7;

at::Tensor matrix_as_conv7x7(const at::Tensor& weight) {
  const bool fits = weight.dim() == 2 && weight.size(1) % (kVggWindow * kVggWindow) == 0;
  return fits ? weight.reshape({weight.size(0), -1, kVggWindow, kVggWindow}) : weight;
}

at::Tensor conv7x7_as_matrix(const at::Tensor& weight) {
  return weight.dim() == 4 && weight.size(2) == kVggWindow && weight.size(3) == kVggWindow ? weight.flatten(1) : weight;
}

constexpr TensorChange kMatrixToConv7x7 = {.read = matrix_as_conv7x7, .write = conv7x7_as_matrix};

}  // namespace

const Layout kLayoutTorchvisionEfficientNet = {
    .name = "torchvision-efficientnet",
    .markers = {"features.1.0.block.1.fc1.weight"},
    .rows =
        {
            {"features.0.0.*", "conv_stem.*"},
            {"features.0.1.*", "bn1.*"},
            {"features.1.#.block.0.0.*", "blocks.0.#.conv_dw.*"},
            {"features.1.#.block.0.1.*", "blocks.0.#.bn1.*"},
            {"features.1.#.block.1.fc1.*", "blocks.0.#.se.conv_reduce.*"},
            {"features.1.#.block.1.fc2.*", "blocks.0.#.se.conv_expand.*"},
            {"features.1.#.block.2.0.*", "blocks.0.#.conv_pw.*"},
            {"features.1.#.block.2.1.*", "blocks.0.#.bn2.*"},
            {"features.#.#.block.0.0.*", "blocks.#.#.conv_pw.*", nullptr, kPreviousStage},
            {"features.#.#.block.0.1.*", "blocks.#.#.bn1.*", nullptr, kPreviousStage},
            {"features.#.#.block.1.0.*", "blocks.#.#.conv_dw.*", nullptr, kPreviousStage},
            {"features.#.#.block.1.1.*", "blocks.#.#.bn2.*", nullptr, kPreviousStage},
            {"features.#.#.block.2.fc1.*", "blocks.#.#.se.conv_reduce.*", nullptr, kPreviousStage},
            {"features.#.#.block.2.fc2.*", "blocks.#.#.se.conv_expand.*", nullptr, kPreviousStage},
            {"features.#.#.block.3.0.*", "blocks.#.#.conv_pwl.*", nullptr, kPreviousStage},
            {"features.#.#.block.3.1.*", "blocks.#.#.bn3.*", nullptr, kPreviousStage},
            {"features.8.0.*", "conv_head.*"},
            {"features.8.1.*", "bn2.*"},
            {"classifier.1.*", "classifier.*"},
        },
};

const Layout kLayoutTorchvisionMobileNetV3Large = {
    .name = "torchvision-mobilenetv3-large",
    .markers = {"features.16.0.weight"},
    .rows = mobile_rows({".", "..", "xxx", "....", "xx", "xxx"}),
};

const Layout kLayoutTorchvisionMobileNetV3Small = {
    .name = "torchvision-mobilenetv3-small",
    .markers = {"features.12.0.weight"},
    .rows = mobile_rows({"x", "..", "xxx", "xx", "xxx"}),
};

const Layout kLayoutTorchvisionRegNet = {
    .name = "torchvision-regnet",
    .markers = {"trunk_output.block1.block1-0.f.a.0.weight"},
    .rows = regnet_rows(),
};

const Layout kLayoutTorchvisionVgg = {
    .name = "torchvision-vgg",
    .markers = {"classifier.6.weight"},
    .rows =
        {
            {"classifier.0.*", "pre_logits.fc1.*", &kMatrixToConv7x7},
            {"classifier.3.*", "pre_logits.fc2.*", &change::kMatrixToConv1x1},
            {"classifier.6.*", "head.fc.*"},
        },
};

}  // namespace fovea
