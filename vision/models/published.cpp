#include "fovea/vision/models/published.h"

#include <re2/re2.h>

#include <algorithm>
#include <sstream>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

// Whose files hold weights of the networks of a name; the first expression that matches the whole name counts.
struct LayoutsOf {
  const char* names;
  std::vector<std::string> layouts;
};

const std::vector<LayoutsOf>& layouts_table() {
  static const std::vector<LayoutsOf> rows = {
      {"cbamresnet.*", {"timm", "cbam-original"}},
      {"efficientnet_b.*", {"timm", "torchvision-efficientnet"}},
      {"mobilenet(v3_large_100|_v3_large)", {"timm", "torchvision-mobilenetv3-large"}},
      {"mobilenet(v3_small_100|_v3_small)", {"timm", "torchvision-mobilenetv3-small"}},
      {"regnet(y_.*)", {"timm", "torchvision-regnet"}},
      {"vgg.*", {"timm", "torchvision-vgg"}},
      {"deit_.*_distilled_.*", {"timm", "huggingface-deit"}},
      {"vit_.*_reg4_dinov2", {"timm", "dinov2", "huggingface-dinov2-registers"}},
      {"vit_.*_dinov2", {"timm", "dinov2", "huggingface-dinov2"}},
      {"vit_.*_clip_.*", {"timm", "huggingface-clip"}},
      {"vit_.*_siglip_.*", {"timm", "huggingface-siglip"}},
      {"vit_[bl]_.*", {"torchvision-vit", "timm"}},
      {"vit_(tiny|small|base|large)_patch[0-9]+_[0-9]+", {"timm", "torchvision-vit", "huggingface-vit", "dino"}},
      {"deit_.*", {"timm", "huggingface-vit", "dino"}},
      {"swin_(v2_)?[tsb]", {"torchvision-swin", "timm"}},
      {"swin_.*", {"timm", "swin-original", "torchvision-swin", "huggingface-swin"}},
      {"swinv2_.*", {"timm", "swin-original", "torchvision-swin", "huggingface-swinv2"}},
      {".*", {"timm"}},
  };
  return rows;
}

// Words of the tables.
constexpr std::pair<std::string_view, std::array<std::array<double, 3>, 2>> pixels[] = {
    {"half", {{{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}}}},
    {"imagenet", {{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}}},
    {"openai", {{{0.48145466, 0.4578275, 0.40821073}, {0.26862954, 0.26130258, 0.27577711}}}},
    {"none", {{{0, 0, 0}, {1, 1, 1}}}},
};
constexpr std::pair<std::string_view, Interpolation> filters[] = {{"bicubic", Interpolation::bicubic},
                                                                  {"bilinear", Interpolation::bilinear}};
constexpr std::pair<std::string_view, CropMode> modes[] = {{"center", CropMode::center}, {"squash", CropMode::squash}};

template <typename Value, size_t count>
const Value& value_of(const std::pair<std::string_view, Value> (&words)[count], std::string_view word) {
  const auto found = std::ranges::find(words, word, [](const auto& pair) { return pair.first; });
  require(found != std::end(words), ErrorKind::internal, "weight_tags: there is no \"{}\"", word);
  return found->second;
}

WeightTag made(const ModelInfo& info, const TagRow& row, const std::string& tag) {
  WeightTag made{.tag = tag,
                 .preprocess = info.preprocess,
                 .num_classes = row.num_classes < 0 ? info.num_classes : row.num_classes,
                 .licence = std::string(row.licence == nullptr ? facts_of(info.name).licence : row.licence)};
  PreprocessOptions& how = made.preprocess;
  if (row.side > 0) how.height = how.width = row.side;
  if (row.crop_pct > 0) how.crop_pct = row.crop_pct;
  if (row.pixels != nullptr) {
    how.mean = value_of(pixels, row.pixels)[0];
    how.std = value_of(pixels, row.pixels)[1];
  }
  if (row.interpolation != nullptr) how.interpolation = value_of(filters, row.interpolation);
  if (row.crop_mode != nullptr) how.crop_mode = value_of(modes, row.crop_mode);
  return made;
}

}  // namespace

const ModelFacts& facts_of(const std::string& name) {
  const auto found = std::ranges::find(facts_table(), name, &ModelFacts::name);
  require(found != facts_table().end(), ErrorKind::internal, "facts_of: nothing is known of {}", printable(name));
  return *found;
}

std::vector<std::string> source_layouts(const std::string& name) {
  const auto& rows = layouts_table();
  return std::ranges::find_if(rows, [&](const LayoutsOf& row) { return RE2::FullMatch(name, row.names); })->layouts;
}

std::vector<WeightTag> weight_tags(const ModelInfo& info) {
  std::vector<WeightTag> tags;
  for (const auto* table : {&convolutional_tags(), &transformer_tags()}) {
    for (const TagRow& row : *table) {
      if (row.model != info.name) continue;
      std::istringstream words{std::string(row.tags)};
      for (std::string tag; words >> tag;) tags.push_back(made(info, row, tag));
    }
  }
  return tags;
}

}  // namespace fovea
