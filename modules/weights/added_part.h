// Parts of a network that a plainer one lacks: the gates of an SE-ResNet, into which a ResNet's weights are loaded.
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "fovea/modules/weights/state_dict.h"

namespace fovea {

// Implemented by layers that have such a part.
class ExtendsPlain {
 public:
  virtual ~ExtendsPlain() = default;
  // The child that is the part ("se"); empty: there is none, or it cannot start as if it were not there.
  virtual std::string added_part() const = 0;
  // Called when everything but the part was loaded: makes this layer compute what it would without the part.
  virtual void start_as_plain() = 0;
};

// The layers of a model whose part is not in the checkpoint (under our keys) at all.
class MissingParts {
 public:
  MissingParts() = default;
  MissingParts(const torch::nn::Module& model, const StateDict& weights);

  bool covers(const std::string& key) const;  // whether the key belongs to one of these parts
  void start_as_plain();

 private:
  std::vector<std::string> prefixes_;  // "layer1.0.se."
  std::vector<ExtendsPlain*> layers_;
};

}  // namespace fovea
