// What a run trains: pictures to a loss, and figures that say how good the weights are.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

namespace fovea {

class TrainingTask {
 public:
  virtual ~TrainingTask() = default;

  virtual torch::nn::Module& module() = 0;

  virtual int64_t steps_per_epoch() const = 0;

  // The loss of a step, counted from 0 through all epochs: a function of the weights and the step, and of torch's
  // generator, which the run seeds for each step.
  virtual at::Tensor loss(int64_t step) = 0;

  // The names of what measure() gives, columns of log.csv.
  virtual std::vector<std::string> figures() const = 0;

  // Figures of the present weights on pictures for testing, one a name; empty where there are no such pictures. The
  // module's mode is put back.
  virtual std::vector<double> measure() = 0;

  // Option → value: what decides the bytes of the result beside the recipe. A run is resumed with the same alone.
  virtual std::map<std::string, std::string> settings() const = 0;
};

}  // namespace fovea
