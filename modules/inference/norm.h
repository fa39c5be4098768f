// LayerNorm and BatchNorm2d with torch's names.
#pragma once

#include "fovea/modules/module.h"

namespace fovea {

struct LayerNormOptions {
  int64_t features = 0;
  double eps = 1e-6;  // timm's ViT; Swin and torch 1e-5
};

// (x − mean)/√(var + eps)·weight + bias over the last dimension. Keys `weight`, `bias`.
// Ba et al., Layer Normalization, 2016, https://arxiv.org/abs/1607.06450
class LayerNormImpl : public Module<LayerNormImpl> {
 public:
  explicit LayerNormImpl(const LayerNormOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  LayerNormOptions options;
  at::Tensor weight;
  at::Tensor bias;
};
FOVEA_MODULE(LayerNorm);

struct BatchNorm2dOptions {
  int64_t channels = 0;
  double eps = 1e-5;
  double momentum = 0.1;      // share of the new batch in the running statistics
  double initial_weight = 1;  // 0 lets a residual branch start closed
};

// Keys `weight`, `bias`, buffers `running_mean`, `running_var`, `num_batches_tracked` (int64).
// Ioffe and Szegedy, Batch Normalization, 2015, https://arxiv.org/abs/1502.03167
class BatchNorm2dImpl : public Module<BatchNorm2dImpl> {
 public:
  explicit BatchNorm2dImpl(const BatchNorm2dOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → same

  BatchNorm2dOptions options;
  at::Tensor weight;
  at::Tensor bias;
  at::Tensor running_mean;
  at::Tensor running_var;
  at::Tensor num_batches_tracked;
};
FOVEA_MODULE(BatchNorm2d);

}  // namespace fovea
