// One pass through a network, and back where a method asks for gradients: what explanations are made of.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/modules/attention/recorder.h"
#include "fovea/vision/models/model.h"

namespace fovea {

// Throws Error(usage) for a class that a model of so many has not.
void require_class(int64_t target, int64_t classes);

struct EvidenceOptions {
  RecorderOptions recorder = {};
  std::optional<int64_t> target = {};  // the class whose logit goes back; unless given, each image's most likely one
};

struct Evidence {
  at::Tensor logits;                 // [B,classes] float32 on the CPU
  std::vector<int64_t> targets;      // the class of each image
  std::vector<AttentionMap> maps;    // gradients filled where recorder.gradients
  std::vector<LayerOutput> outputs;  // those asked for, then "features", what forward_features gave

  // What part of the first image's logit was read from each place of the features, [h·w] with a sum of 1: |∂logit| over
  // the channels. Equal parts behind a mean of places, one place behind the greatest of them. Undefined without
  // gradients, where none reaches the features, or where these have prefix tokens or other places than the last
  // attention. Throws Error(usage) where no layer attends.
  at::Tensor answer() const;
};

// x [B,3,h,w], normalised, on the model's device and in its type. Where recorder.gradients, Σ_b logits[b, target_b]
// goes back: to maps and outputs, not to parameters. The model stays in its mode; evaluation is meant. Throws
// Error(usage) for a class that the model has not, or a model without classifier where gradients are asked for.
Evidence gather_evidence(ImageModel& model, const at::Tensor& x, const EvidenceOptions& options = {});

}  // namespace fovea
