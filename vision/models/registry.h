// Model names, their data-only table, and making a model by name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/models/model.h"

namespace fovea {

// Attention in the blocks of a ResNet, in place of the network's own.
struct BlockAttention {
  std::string name = {};             // of make_channel_attention; empty: none
  std::vector<int64_t> stages = {};  // that have it, counted from 1; empty: all
};

struct ModelInfo {
  std::string name;                              // timm's, "vit_base_patch16_224"
  std::string family;                            // "resnet", "efficientnet", "vit", …
  PreprocessOptions preprocess;                  // of the usual published weights
  int64_t num_classes = 1000;                    // of the usual published weights; 0: they have no classifier
  std::optional<BlockAttention> attention = {};  // as the caller chose it; empty in the table
  bool multi_label = false;                      // a picture has any number of the classes: scores are sigmoids
};

// All rows, in the order of the table, without the networks that fovea trained itself (datasets/embedded.h).
const std::vector<ModelInfo>& model_table();

struct ModelArgs {
  std::optional<int64_t> num_classes;            // the row's unless given; 0: no classifier
  std::optional<int64_t> in_channels;            // 3 unless given
  std::optional<int64_t> image_size;             // side the position table or windows are built for
  std::optional<BlockAttention> attention = {};  // of a ResNet's blocks; the row's unless given
};

struct NamedModel {
  ModelInfo info;
  std::shared_ptr<ImageModel> model;
};

// The row of a name, "resnet50", or of weights that timm tags, "resnet50.a1_in1k": the tag decides preprocessing and
// classes (published.h). Throws Error(usage) for an unknown name or tag, naming the nearest one.
ModelInfo model_info(const std::string& name);

// The same names. `info` of the result carries the arguments: its num_classes, its attention, and image_size as the
// size to preprocess to. Throws Error(usage) for an unknown name, naming the nearest one, for a negative count or size,
// and for attention that the network has no place for.
NamedModel create_model(const std::string& name, const ModelArgs& args = {});

// Puts args.attention into `info`. Throws Error(usage) where the network is no ResNet.
void choose_attention(ModelInfo& info, const ModelArgs& args);

// "eca", "halo in stages 2, 3", "none".
std::string describe(const BlockAttention& attention);

}  // namespace fovea
