#include "fovea/vision/training/ema.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/load_weights.h"

namespace fovea {

WeightAverage::WeightAverage(torch::nn::Module& model, double decay) : decay_(decay), weights_(named_weights(model)) {
  require(decay >= 0 && decay < 1, ErrorKind::usage, "weight average: decay {} is not in [0,1)", decay);
  for (const auto& [name, tensor] : weights_) averages_.push_back({name, tensor.detach().clone()});
}

void WeightAverage::update() {
  const at::NoGradGuard no_grad;
  ++updates_;
  const auto n = static_cast<double>(updates_);
  const double keep = std::min(decay_, (1 + n) / (10 + n));
  for (size_t i = 0; i < weights_.size(); ++i) {
    const at::Tensor weights = weights_[i].tensor.detach();
    if (weights.is_floating_point()) {
      averages_[i].tensor.lerp_(weights, 1 - keep);
    } else {
      averages_[i].tensor.copy_(weights);
    }
  }
}

void WeightAverage::swap() {
  for (size_t i = 0; i < weights_.size(); ++i) {
    const at::Tensor weights = weights_[i].tensor.detach();
    weights_[i].tensor.set_data(averages_[i].tensor);
    averages_[i].tensor = weights;
  }
}

}  // namespace fovea
