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

std::vector<ModelRow> resnet_rows();  // resnet_table.cpp
std::vector<ModelRow> vit_rows();     // vit_table.cpp
std::vector<ModelRow> swin_rows();    // swin_table.cpp

}  // namespace fovea
