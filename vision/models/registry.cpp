#include "fovea/vision/models/registry.h"

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/modules/nearest.h"
#include "fovea/vision/models/rows.h"

namespace fovea {
namespace {

// The families, in the order in which `fovea models` lists them.
using Family = std::vector<ModelRow> (*)();
constexpr Family families[] = {resnet_rows, senet_rows, efficientnet_rows, mobilenetv3_rows, regnet_rows,
                               vgg_rows,    vit_rows,   swin_rows,         cait_rows};

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
  const auto found =
      std::find_if(rows().begin(), rows().end(), [&](const ModelRow& row) { return row.info.name == name; });
  if (found != rows().end()) return *found;
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

NamedModel create_model(const std::string& name, const ModelArgs& args) {
  const ModelRow& row = row_named(name);
  ModelInfo info = row.info;
  info.num_classes = args.num_classes.value_or(info.num_classes);
  if (args.image_size) info.preprocess.height = info.preprocess.width = *args.image_size;
  const int64_t in_channels = args.in_channels.value_or(3);
  require(info.num_classes >= 0, ErrorKind::usage, "{}: num_classes {} is negative", name, info.num_classes);
  require(in_channels > 0, ErrorKind::usage, "{}: in_channels {} is not positive", name, in_channels);
  require(info.preprocess.height > 0, ErrorKind::usage, "{}: image_size {} is not positive", name,
          info.preprocess.height);
  auto model = row.build({.info = info, .in_channels = in_channels, .image_size = info.preprocess.height});
  return {std::move(info), std::move(model)};
}

}  // namespace fovea
