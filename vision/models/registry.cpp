#include "fovea/vision/models/registry.h"

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/modules/nearest.h"
#include "fovea/vision/models/published.h"
#include "fovea/vision/models/rows.h"

namespace fovea {
namespace {

// The families, in the order in which `fovea models` lists them.
using Family = std::vector<ModelRow> (*)();
constexpr Family families[] = {resnet::rows, senet::rows,  efficientnet::rows, mobilenetv3::rows,
                               regnet::rows, vgg::rows,    inception::rows,    vit::rows,
                               swin::rows,   maxvit::rows, cait::rows};

const std::vector<ModelRow>& rows() {
  static const std::vector<ModelRow> all = [] {
    std::vector<ModelRow> joined;
    for (const Family family : families) {
      for (ModelRow& row : family()) joined.push_back(std::move(row));
    }
    return joined;
  }();
  return all;
}

const ModelRow& row_named(const std::string& name) {
  static const std::vector<ModelRow> own_rows = own::rows();
  for (const std::vector<ModelRow>* table : {&rows(), &own_rows}) {
    const auto found =
        std::ranges::find(*table, name, [](const ModelRow& row) -> const std::string& { return row.info.name; });
    if (found != table->end()) return *found;
  }
  std::vector<std::string> names;
  for (const ModelRow& row : rows()) names.push_back(row.info.name);
  fail(ErrorKind::usage, "unknown model \"{}\"; the nearest name is {}", printable(name), nearest(name, names));
}

}  // namespace

const std::vector<ModelInfo>& model_table() {
  static const std::vector<ModelInfo> table = [] {
    std::vector<ModelInfo> infos;
    for (const ModelRow& row : rows()) infos.push_back(row.info);
    return infos;
  }();
  return table;
}

ModelInfo model_info(const std::string& name) {
  const size_t dot = name.find('.');
  ModelInfo info = row_named(name.substr(0, dot)).info;
  if (dot == std::string::npos) return info;
  const std::string tag = name.substr(dot + 1);
  std::vector<std::string> known;
  for (const WeightTag& weights : weight_tags(info)) {
    if (weights.tag == tag) {
      info.preprocess = weights.preprocess;
      info.num_classes = weights.num_classes;
      return info;
    }
    known.push_back(info.name + "." + weights.tag);
  }
  require(!known.empty(), ErrorKind::usage, "unknown model \"{}\"; no weights of {} have a tag", printable(name),
          info.name);
  fail(ErrorKind::usage, "unknown model \"{}\"; the nearest name is {}", printable(name), nearest(name, known));
}

NamedModel create_model(const std::string& name, const ModelArgs& args) {
  ModelInfo info = model_info(name);
  const ModelRow& row = row_named(info.name);
  info.num_classes = args.num_classes.value_or(info.num_classes);
  if (args.image_size) info.preprocess.height = info.preprocess.width = *args.image_size;
  const int64_t in_channels = args.in_channels.value_or(3);
  require(info.num_classes >= 0, ErrorKind::usage, "{}: num_classes {} is negative", name, info.num_classes);
  require(in_channels > 0, ErrorKind::usage, "{}: in_channels {} is not positive", name, in_channels);
  require(info.preprocess.height > 0, ErrorKind::usage, "{}: image_size {} is not positive", name,
          info.preprocess.height);
  choose_attention(info, args);
  auto model = row.build({.info = info, .in_channels = in_channels, .image_size = info.preprocess.height});
  return {std::move(info), std::move(model)};
}

void choose_attention(ModelInfo& info, const ModelArgs& args) {
  require(!args.attention || info.family == "resnet", ErrorKind::usage,
          "{} has no place for attention in its blocks; the ResNets have one", info.name);
  info.attention = args.attention;
}

std::string describe(const BlockAttention& attention) {
  const std::string name = attention.name.empty() ? "none" : attention.name;
  return attention.stages.empty() ? name : fmt::format("{} in stages {}", name, fmt::join(attention.stages, ", "));
}

}  // namespace fovea
