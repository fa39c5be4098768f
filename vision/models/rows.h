// What each family of models hands to the registry: its rows, written as data beside one function that builds them.
#pragma once

#include <functional>

#include "fovea/vision/models/registry.h"

namespace fovea {

// How a row is turned into a model. `info` is the row with the caller's arguments already applied: num_classes and the
// preprocessing size are final.
struct BuildArgs {
  const ModelInfo& info;
  int64_t in_channels;
  int64_t image_size;  // side the position table or the windows are built for, pixels
};

struct ModelRow {
  ModelInfo info;
  std::function<std::shared_ptr<ImageModel>(const BuildArgs&)> build;
};

// Each in the file <family>_table.cpp.
std::vector<ModelRow> resnet_rows();
std::vector<ModelRow> senet_rows();
std::vector<ModelRow> efficientnet_rows();
std::vector<ModelRow> mobilenetv3_rows();
std::vector<ModelRow> regnet_rows();
std::vector<ModelRow> vgg_rows();
std::vector<ModelRow> vit_rows();
std::vector<ModelRow> swin_rows();
std::vector<ModelRow> cait_rows();

}  // namespace fovea
