// Checkpoints into models and back.
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "fovea/modules/weights/state_dict.h"

namespace fovea {

struct LoadOptions {
  bool allow_missing = false;     // parameters that the checkpoint lacks keep their value
  bool allow_unexpected = false;  // tensors that the model lacks are left out
  bool allow_non_finite = false;  // NaN and infinite weights are taken
  // Fits what can be fitted (adapt.h). A classifier of another number of classes stays as it was; the gates of residual
  // blocks that the checkpoint lacks start such that the network computes what it would without them.
  bool adapt = false;
  std::string layout;   // a name of layouts() (layout.h); empty: detected
  double norm_eps = 0;  // of the checkpoint's LayerNorms; 0: what its layout says, else what the model has
  std::string part;     // of a larger network: the tensors whose names begin so, without it ("encoder."); empty: all
};

struct LoadReport {
  std::string layout;                   // the table that was used
  std::string prefix;                   // taken off every key ("module."), or empty
  std::vector<std::string> matched;     // our keys that were filled
  std::vector<std::string> missing;     // our keys that were not (num_batches_tracked is never counted)
  std::vector<std::string> unexpected;  // checkpoint tensors without a place, under the name the table gave them
  std::vector<std::string> converted;   // matched with another number type
  std::vector<std::string> resized;     // matched with another shape (a matrix as a 1×1 convolution)
  std::vector<std::string> adapted;     // matched after fitting (input channels, position tables)
  std::vector<std::string> fresh;       // our keys of a classifier that stays as it was, and of gates that start
  std::vector<std::string> joined;      // matched by several tensors together (queries, keys and values)
  double norm_eps = 0;                  // that the model's LayerNorms were given; 0: they kept theirs
  std::vector<std::string> dropped;     // checkpoint keys that the table knows to be useless (index tables, masks)
  std::string source;                   // the entry of a PyTorch file that was read, "state_dict"; empty: all of it
  std::vector<std::string> ignored;     // its other entries: "epoch", "optimizer"

  // One line: "152 tensors (layout timm); 2 converted: pos_embed, norm.weight".
  std::string to_string() const;
};

// Fills every parameter and buffer of the model from a file that load_state_dict reads. Parameters of the file's number
// type lie in its mapping afterwards (no copy); others are converted, floating to floating. requires_grad stays; packed
// forms are dropped. The model changes only when everything fits (but may gain an optional parameter of zeros, see
// ModuleBase::add_parameter). No other thread may use the model meanwhile.
// Throws Error(data) naming the first keys and counting the rest: "FILE: does not fit the model (read as timm): 7
// missing: a, b, c, d, e and 2 more; 1 of another shape: head.weight: checkpoint [1000,768], model [10,768]", and what
// load_state_dict throws.
LoadReport load_weights(torch::nn::Module& model, const std::filesystem::path& file, const LoadOptions& options = {});

// The same from tensors in memory; `name` stands in messages. Parameters alias these tensors where types fit.
LoadReport load_weights(torch::nn::Module& model, const StateDict& checkpoint, const std::string& name,
                        const LoadOptions& options = {});

// Every parameter and buffer under its name.
std::vector<NamedTensor> named_weights(const torch::nn::Module& model);

// named_weights as a safetensors file, written atomically.
void save_weights(const torch::nn::Module& model, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata = {});

}  // namespace fovea
