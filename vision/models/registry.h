// Model names, their data-only table, and making a model by name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/models/model.h"

namespace fovea {

struct ModelInfo {
  std::string name;              // timm's, "vit_base_patch16_224"
  std::string family;            // "resnet", "efficientnet", "vit", …
  PreprocessOptions preprocess;  // of the usual published weights
  int64_t num_classes = 1000;    // of the usual published weights; 0: they have no classifier
};

// All rows, in the order of the table.
const std::vector<ModelInfo>& model_table();

struct ModelArgs {
  std::optional<int64_t> num_classes;  // the row's unless given; 0: no classifier
  std::optional<int64_t> in_channels;  // 3 unless given
  std::optional<int64_t> image_size;   // side the position table or windows are built for
};

struct NamedModel {
  ModelInfo info;
  std::shared_ptr<ImageModel> model;
};

// `info` of the result carries the arguments: its num_classes, and image_size as the size to preprocess to.
// Throws Error(usage) for an unknown name, naming the nearest one, and for a negative count or size.
NamedModel create_model(const std::string& name, const ModelArgs& args = {});

}  // namespace fovea
