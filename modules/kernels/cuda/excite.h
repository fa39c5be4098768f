// Squeezed channels to a gate: gate(Σ_i (W2·activation(W1·s_i + b1) + b2)) over one or two pooled vectors s_i of each
// image, and its gradients. Weights are float32, bfloat16 or float16, all else is float32.
#pragma once

#include <cstdint>

#include "fovea/modules/kernels/cuda/status.h"
#include "fovea/modules/kernels/number.h"

namespace fovea::kernels::cuda {

enum class SqueezeActivation { none, relu, silu, hard_swish };

enum class Squash {
  sigmoid,
  hard_sigmoid,  // clamp(s + 3, 0, 6)/6
};

struct ExciteCall {
  Number type = Number::float32;  // of the weights and biases
  int64_t batch = 0;              // B
  int64_t channels = 0;           // C
  int64_t hidden = 0;             // r
  int64_t pooled_count = 1;       // n: 1 or 2 (average and maximum)
  SqueezeActivation activation = SqueezeActivation::relu;
  Squash squash = Squash::sigmoid;
  const float* pooled = nullptr;     // [n,B,C]
  const void* fc1_weight = nullptr;  // [r,C]
  const void* fc1_bias = nullptr;    // [r] or null
  const void* fc2_weight = nullptr;  // [C,r]
  const void* fc2_bias = nullptr;    // [C] or null
};

// before [n,B,r]: W1·s + b1; hidden [B,r]: the sum of their activations; gate [B,C].
Status excite(const ExciteCall& call, float* before, float* hidden, float* gate, Stream stream);

struct ExciteGradients {
  const float* before = nullptr;  // of excite, as the two that follow
  const float* hidden = nullptr;
  const float* gate = nullptr;
  const float* grad_gate = nullptr;  // [B,C]
  float* grad_score = nullptr;       // [B,C], scratch
  float* grad_before = nullptr;      // [n,B,r], scratch
  float* grad_pooled = nullptr;      // [n,B,C]
  // Null: not wanted.
  float* grad_fc1_weight = nullptr;
  float* grad_fc1_bias = nullptr;
  float* grad_fc2_weight = nullptr;
  float* grad_fc2_bias = nullptr;
};

Status excite_backward(const ExciteCall& call, const ExciteGradients& gradients, Stream stream);

}  // namespace fovea::kernels::cuda
