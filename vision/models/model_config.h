// config.json, as timm and transformers write it beside published weights: which network, how many classes, how
// pictures are prepared. https://huggingface.co/docs/timm/main/en/hf_hub
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/models/registry.h"

namespace fovea {

std::string_view name_of(Interpolation interpolation);  // "bicubic", as timm says
std::string_view name_of(CropMode mode);                // "center"

// What a file says about preprocessing; the rest stays as usual for the network.
struct PreprocessChanges {
  std::optional<std::array<int64_t, 2>> size = {};  // height, width
  std::optional<double> crop_pct = {};
  std::optional<CropMode> crop_mode = {};
  std::optional<Interpolation> interpolation = {};
  std::optional<std::array<double, 3>> mean = {};
  std::optional<std::array<double, 3>> std = {};

  PreprocessOptions applied_to(PreprocessOptions usual) const;
};

struct ModelConfig {
  std::string architecture;  // a registered name, or the model_type of transformers
  std::optional<int64_t> num_classes = {};
  PreprocessChanges preprocess = {};
  std::vector<std::string> labels = {};                    // of the classes, in order; may be empty
  double norm_eps = 0;                                     // of the LayerNorms, where the file says it; else 0
  std::function<NamedModel(const ModelArgs&)> build = {};  // where the file describes the network in full
  std::optional<BlockAttention> attention = {};            // of a ResNet, where the file says it
  std::optional<bool> multi_label = {};                    // what the file says; a name alone: as its row
};

// The network of the file. Arguments win over what it says. Throws as create_model of a name does.
NamedModel create_model(const ModelConfig& config, const ModelArgs& args = {});

// timm's, or that of transformers, which a preprocessor_config.json beside it completes (huggingface_config.h). Keys of
// the former: architecture, num_classes, label_names, in pretrained_cfg input_size, crop_pct, crop_mode,
// interpolation, mean, std, and in model_args.block_args attn_layer (a name of make_channel_attention, or null) and
// attn_stages (fovea's own; timm refuses it), and transformers' problem_type; others are passed over. Throws Error(io),
// Error(data) "config.json:
// num_classes: expected an integer, got string", and Error(resource) above 16 MiB.
ModelConfig read_model_config(const std::string& path);

// The same keys, with every preprocessing option. Written atomically; `labels` may be empty.
void write_model_config(const std::string& path, const ModelInfo& info, const std::vector<std::string>& labels);

}  // namespace fovea
