// A running average of the weights, which scores better than the last step's.
#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "fovea/modules/weights/state_dict.h"

namespace fovea {

// average ← d·average + (1 − d)·weights over every floating parameter and buffer, d = min(decay, (1 + n)/(10 + n)) at
// update n = 1, 2, …; integers are copied.
// Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992, https://doi.org/10.1137/0330046
class WeightAverage {
 public:
  // Starts as a copy of the weights. Throws Error(usage) unless 0 ≤ decay < 1.
  WeightAverage(torch::nn::Module& model, double decay);

  void update();

  // Exchanges weights and average: the model then computes with the average, until the next call.
  void swap();

  const std::vector<NamedTensor>& averages() const { return averages_; }
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }

 private:
  double decay_;
  int64_t updates_ = 0;
  std::vector<NamedTensor> weights_;   // the model's own tensors
  std::vector<NamedTensor> averages_;  // in the same order
};

}  // namespace fovea
