// The checkpoints of https://github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning: no configuration, whole
// modules.
#include <array>
#include <filesystem>

#include "fovea/captioning/models/caption_config.h"
#include "fovea/captioning/models/show_attend_tell.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"
#include "fovea/vision/models/registry.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kInputSide = 256;  // pixels, to which the tutorial squashes pictures

// Blocks of each stage, and whether a block has three convolutions.
struct ResNetShape {
  const char* name;
  std::array<int64_t, 4> blocks;
  bool bottleneck;
};
constexpr ResNetShape shapes[] = {{"resnet18", {2, 2, 2, 2}, false},
                                  {"resnet34", {3, 4, 6, 3}, false},
                                  {"resnet50", {3, 4, 6, 3}, true},
                                  {"resnet101", {3, 4, 23, 3}, true},
                                  {"resnet152", {3, 8, 36, 3}, true}};

// The tutorial's Sequential of a torchvision ResNet has its stages at the places 4 to 7.
std::string resnet_of(const StateDict& checkpoint, const std::string& file) {
  std::array<int64_t, 4> blocks{};
  for (size_t stage = 0; stage < blocks.size(); ++stage) {
    const auto has = [&](int64_t block) {
      return checkpoint.find(fmt::format("encoder.resnet.{}.{}.conv1.weight", 4 + stage, block)) != nullptr;
    };
    while (has(blocks[stage])) ++blocks[stage];
  }
  const bool bottleneck = checkpoint.find("encoder.resnet.4.0.conv3.weight") != nullptr;
  for (const ResNetShape& shape : shapes) {
    if (shape.blocks == blocks && shape.bottleneck == bottleneck) return shape.name;
  }
  fail(ErrorKind::data, "{}: encoder: no ResNet of 18, 34, 50, 101 or 152 layers has {} blocks", file,
       fmt::join(blocks, ", "));
}

// The matrix of this key.
at::Tensor matrix(const StateDict& checkpoint, const char* key, const std::string& file) {
  const at::Tensor* tensor = checkpoint.find(key);
  require(tensor != nullptr, ErrorKind::data, "{}: expected a matrix {}, got nothing", file, key);
  require(tensor->dim() == 2, ErrorKind::data, "{}: expected a matrix {}, got {}", file, key, shape_text(*tensor));
  return *tensor;
}

}  // namespace

std::string tutorial_weights(const std::string& folder) {
  std::string best, any;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string(), path = entry.path().string();
    if (!name.ends_with(".pth.tar")) continue;
    if (name.starts_with("BEST_checkpoint") && (best.empty() || path < best)) best = path;
    if (name.starts_with("checkpoint") && (any.empty() || path < any)) any = path;
  }
  return best.empty() ? any : best;
}

CaptionerConfig read_tutorial_config(const StateDict& checkpoint, const Tokenizer& words, const std::string& file) {
  const auto embedding = matrix(checkpoint, "decoder.embedding.weight", file);
  const auto places = matrix(checkpoint, "decoder.attention.encoder_att.weight", file);
  const auto state = matrix(checkpoint, "decoder.decode_step.weight_hh", file);
  const GridDecoderOptions decoder = {.vocabulary = embedding.size(0),
                                      .word_dim = embedding.size(1),
                                      .state_dim = state.size(1),
                                      .attention_dim = places.size(0),
                                      .memory_dim = places.size(1),
                                      .score = GridScore::relu};
  const std::string resnet = resnet_of(checkpoint, file);

  CaptionerConfig config{.name = "show-attend-tell"};
  config.build = [=] {
    return std::make_shared<ShowAttendTellImpl>(ShowAttendTellOptions{
        .encoder = [resnet] { return create_model(resnet, {.num_classes = 0}).model; }, .decoder = decoder});
  };
  config.parts = {{.theirs = "encoder.", .ours = "encoder", .layout = "sgrvinod-resnet"},
                  {.theirs = "decoder.", .ours = "decoder", .layout = "timm"}};
  const auto id_of = [&](const char* word) {
    const auto id = words.find(word);
    require(id.has_value() && *id < decoder.vocabulary, ErrorKind::data, "{}: the word map has no {} of its {} words",
            file, word, decoder.vocabulary);
    return *id;
  };
  config.tokens = {.start = id_of("<start>"), .end = id_of("<end>"), .pad = id_of("<pad>")};
  config.preprocess = {.height = kInputSide,
                       .width = kInputSide,
                       .crop_pct = 1,
                       .crop_mode = CropMode::squash,
                       .interpolation = Interpolation::bilinear};
  return config;
}

}  // namespace fovea
