// config.json, as timm writes it beside published weights: which network, how many classes, how pictures are prepared.
// https://huggingface.co/docs/timm/main/en/hf_hub
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/vision/image/preprocess.h"

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
  std::string architecture;  // a registered name
  std::optional<int64_t> num_classes = {};
  PreprocessChanges preprocess = {};
  std::vector<std::string> labels = {};  // of the classes, in order; may be empty
};

// Keys read: architecture, num_classes, label_names, and in pretrained_cfg input_size, crop_pct, crop_mode,
// interpolation, mean, std; others are passed over. Throws Error(io), Error(data) "config.json: num_classes: expected
// an integer, got string", and Error(resource) above 16 MiB.
ModelConfig read_model_config(const std::string& path);

// The same keys, with every preprocessing option. Written atomically;
// `labels` may be empty.
void write_model_config(const std::string& path, const std::string& architecture, int64_t num_classes,
                        const PreprocessOptions& preprocess, const std::vector<std::string>& labels);

}  // namespace fovea
