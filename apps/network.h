// The network a command line asks for, ready to run.
#pragma once

#include <string>
#include <vector>

#include "fovea/apps/common_options.h"
#include "fovea/apps/device.h"
#include "fovea/vision/models/registry.h"

namespace fovea {

struct Prediction {
  int64_t index = 0;
  double score = 0;  // softmax, of a network with multi_label sigmoid
  std::string label;
};

struct Network {
  ModelInfo info;                     // preprocessing as it shall be applied
  std::shared_ptr<ImageModel> model;  // in evaluation mode, on the device, in the number type
  std::vector<std::string> labels;    // of the classes; empty where they have no names
  Runtime runtime;
  bool random_weights = false;

  std::string label(int64_t index) const;
  // x [B,3,h,w] float32 on the CPU → logits [B,classes] float32 on the CPU. Inference mode.
  at::Tensor logits(const at::Tensor& x) const;
  // logits [classes] → the k most likely, all where there are fewer. Throws Error(numeric) for NaN and infinity.
  std::vector<Prediction> best(const at::Tensor& logits, int64_t k) const;
};

struct NetworkOptions {
  ModelOptions model;
  std::string labels;         // a file of names, one a line
  bool allow_random = false;  // a registered name needs no weights
};

// --model is an embedded name, a folder as timm or transformers write it (config.json and weights) or of a captioner
// that fovea trained, or a registered name, which needs --weights; nothing is the embedded default. Labels come from
// the file given, else from the folder, else from ImageNet-1k for 1,000 classes.
Network load_network(const NetworkOptions& options, const Runtime& runtime);

}  // namespace fovea
