// First values of parameters, and the scope that leaves them out.
#pragma once

#include <ATen/core/Tensor.h>

namespace fovea {

// While one lives, layers made by this thread allocate their parameters without filling them: for models whose
// weights are loaded next (the random start of ViT-L takes 1.2 s).
class SkipInit {
 public:
  SkipInit();
  ~SkipInit();
  SkipInit(const SkipInit&) = delete;
  SkipInit& operator=(const SkipInit&) = delete;
  static bool active();

 private:
  bool outer_;
};

// A new float32 tensor of this shape: uninitialised inside a SkipInit scope, else filled in place by the function
// named.
at::Tensor init_zeros(at::IntArrayRef shape);
at::Tensor init_ones(at::IntArrayRef shape);
at::Tensor init_full(at::IntArrayRef shape, double value);
at::Tensor init_truncated_normal(at::IntArrayRef shape, double std);    // cut at ±2 (timm's trunc_normal_)
at::Tensor init_kaiming_uniform(at::IntArrayRef shape);                 // a = √5, torch's Linear and Conv2d weights
at::Tensor init_kaiming_fan_out(at::IntArrayRef shape);                 // normal, ReLU gain: convolutions of ResNets
at::Tensor init_fan_in_uniform(at::IntArrayRef shape, int64_t fan_in);  // ±1/√fan_in, torch's biases

}  // namespace fovea
