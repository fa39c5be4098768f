// What the gates of this folder share: the squeeze MLP, the squashing function, checks and recording.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/inference/linear.h"

namespace fovea {

// How a score becomes a factor in 0…1.
enum class Gate {
  sigmoid,
  hard_sigmoid,  // clamp(s + 3, 0, 6)/6 (MobileNetV3)
};

at::Tensor apply_gate(const at::Tensor& scores, Gate gate);

// Two fully connected layers, W2·activation(W1·s + b1) + b2, on pooled channels.
struct SqueezeMlp {
  at::Tensor fc1_weight;  // [r,C] or [r,C,1,1]
  at::Tensor fc1_bias;    // [r] or undefined
  at::Tensor fc2_weight;  // [C,r] or [C,r,1,1]
  at::Tensor fc2_bias;    // [C] or undefined
  Activation activation = Activation::relu;

  at::Tensor operator()(const at::Tensor& pooled) const;  // [B,C] → [B,C]
};

// Implemented by gates that can be made blind: sigmoid(0) whatever the input.
class ConstantGate {
 public:
  virtual ~ConstantGate() = default;
  // Sets the last parameters of the gate to 0, so that forward(x) = share·x while all of them can still learn, and
  // returns the share: ½ for one gate, ¼ for two in a row.
  virtual double make_constant() = 0;
};

// Squeezed width of timm: channels/reduction rounded to the nearest multiple of `divisor`, at least `divisor`.
int64_t squeeze_width(int64_t channels, int64_t reduction, int64_t divisor);

// The same where timm also takes the next multiple when rounding would lose more than a tenth of `exact`.
int64_t rounded_width(double exact, int64_t divisor, int64_t at_least);

namespace detail {

// Throw Error(data) naming `function` and both shapes.
void check_feature_map(const char* function, const at::Tensor& x);  // floating [B,C,h,w], h·w > 0
void check_input(const char* layer, const at::Tensor& x, int64_t channels, const at::Tensor& parameter = {});
void check_weight(const char* function, const char* name, const at::Tensor& weight, const at::Tensor& x);
void check_mlp(const char* function, const SqueezeMlp& mlp, const at::Tensor& x);

// The weights in the type of x where autocast is on.
SqueezeMlp autocast_mlp(SqueezeMlp mlp, const at::Tensor& x);

// A batch norm over pooled channels has nothing to normalise by in a training batch of one image: Error(usage).
void check_statistics(const char* layer, const at::Tensor& x, bool training);

// x·gate, the gate handed to the recorder: [B,C,1,1], [B,1,h,w], or what broadcasts to x with MapKind::feature.
at::Tensor scaled(const torch::nn::Module* module, MapKind kind, const at::Tensor& x, const at::Tensor& gate);

// Hands a gate to the recorder of this thread, if there is one that wants `module`: [B,C,1,1] becomes [B,C].
void record_gate(const torch::nn::Module* module, MapKind kind, const at::Tensor& gate, const at::Tensor& x);

}  // namespace detail
}  // namespace fovea
