// CBAM: a gate a channel from average and maximum over pixels, then a gate a pixel from average and maximum over
// channels.
#pragma once

#include <string>

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"
#include "fovea/modules/module.h"

namespace fovea {

// The convolution of the spatial gate and the batch norm behind it.
struct SpatialScore {
  at::Tensor weight;       // [1,2,k,k], k odd; input channel 0 is the mean, 1 the maximum (timm's order)
  at::Tensor norm_weight;  // [1], as the rest of the batch norm
  at::Tensor norm_bias;
  at::Tensor running_mean;  // changed in place when training
  at::Tensor running_var;
  double eps = 1e-5;
  double momentum = 0.1;
  bool training = false;  // normalise by the statistics of this batch

  at::Tensor operator()(const at::Tensor& pooled) const;  // [B,2,h,w] → [B,1,h,w]
};

enum class CbamArrangement {
  channel_then_spatial,  // the paper's choice
  channel,
  spatial,
  spatial_then_channel,
  parallel,  // both gates are computed from x and multiply it
};

struct CbamArgs {
  SqueezeMlp mlp;        // undefined weights: no channel gate
  SpatialScore spatial;  // undefined weight: no spatial gate
  Gate gate = Gate::sigmoid;
  const torch::nn::Module* channel_module = nullptr;  // the layers whose names a recorder gives to the maps
  const torch::nn::Module* spatial_module = nullptr;
  std::string backend;  // run this row of the table or throw; empty: the first that accepts
  CbamArrangement arrangement = CbamArrangement::channel_then_spatial;  // where there are both gates
  bool light = false;  // timm's variant: both gates read (mean + max)/2, the spatial weight is [1,1,k,k]
};

// y = x·gate(mlp(mean(x)) + mlp(max(x)))              over pixels, the gate [B,C] over channels
// z = y·gate(norm(conv([mean(y), max(y)])))           over channels, the gate [B,1,h,w] over pixels
//
// The other arrangements compute the second line first, or both gates from x: x·gate_channel·gate_spatial.
//
// x [B,C,h,w] → z, same shape and memory format. Equal maxima share the gradient.
// Throws Error(data) naming both shapes when a weight does not fit x, Error(usage) when there is no gate at all.
// Woo et al., CBAM: Convolutional Block Attention Module, 2018, https://arxiv.org/abs/1807.06521
at::Tensor cbam(const at::Tensor& x, const CbamArgs& args);

// One line a backend: its name, and either "runs" (for the first that accepts), "could run" or why it refuses.
std::string explain_cbam(const at::Tensor& x, const CbamArgs& args);

struct CbamOptions {
  int64_t channels = 0;
  int64_t reduction = 16;  // channels of x for each squeezed one
  int64_t squeeze = 0;     // the squeezed width itself; 0: channels/reduction, rounded, at least 1
  bool bias = false;       // of the channel gate's layers; a checkpoint that has them (the authors') brings its own
  int64_t kernel = 7;      // side of the spatial gate's convolution, pixels, odd
  double momentum = 0.1;   // of the spatial gate's batch norm: timm 0.1, the authors 0.01
  Gate gate = Gate::sigmoid;
  CbamArrangement arrangement = CbamArrangement::channel_then_spatial;
  bool light = false;  // both gates read the mean of average and maximum, the convolution has one input channel
};

// Holds the channel gate's layers and stands for its maps.
class CbamChannelImpl : public Module<CbamChannelImpl> {
 public:
  explicit CbamChannelImpl(const CbamOptions& options);
  void reset() override;
  SqueezeMlp mlp() const { return {fc1->weight, fc1->bias, fc2->weight, fc2->bias}; }

  CbamOptions options;
  Conv2d fc1 = nullptr;  // [r,C,1,1]
  Conv2d fc2 = nullptr;  // [C,r,1,1]
};

// A convolution of two channels to one, and its batch norm.
class CbamConvImpl : public Module<CbamConvImpl> {
 public:
  explicit CbamConvImpl(const CbamOptions& options);
  void reset() override;

  CbamOptions options;
  Conv2d conv = nullptr;  // [1,2,k,k]
  BatchNorm2d bn = nullptr;
};

// Holds the spatial gate's convolution and stands for its maps.
class CbamSpatialImpl : public Module<CbamSpatialImpl> {
 public:
  explicit CbamSpatialImpl(const CbamOptions& options);
  void reset() override;
  SpatialScore score() const;

  CbamOptions options;
  std::shared_ptr<CbamConvImpl> conv;
};

// Keys `channel.fc1.weight`, `channel.fc2.weight`, `spatial.conv.conv.weight`, `spatial.conv.bn.*` (timm's CbamModule),
// and `channel.fc1.bias`, `channel.fc2.bias` with `bias`. Maps are named by the paths of `channel` and `spatial`.
// Throws Error(usage) for a width that is not positive and for an even kernel.
class CbamImpl : public Module<CbamImpl>, public ConstantGate {
 public:
  explicit CbamImpl(const CbamOptions& options);
  void reset() override;
  double make_constant() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → same

  CbamOptions options;
  std::shared_ptr<CbamChannelImpl> channel;  // null in the arrangement `spatial`
  std::shared_ptr<CbamSpatialImpl> spatial;  // null in the arrangement `channel`
};
FOVEA_MODULE(Cbam);

}  // namespace fovea
