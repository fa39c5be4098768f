// Global context: one softmax over all pixels gathers a context, which then scales or shifts the channels.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct GlobalContextOptions {
  int64_t channels = 0;
  int64_t reduction = 8;  // channels of x for each squeezed one
  bool attend = true;     // false: the context is the mean over pixels
  bool scale = true;      // multiply by a gate (timm's gc)
  bool add = false;       // add (the paper's choice, timm's gca)
  Gate gate = Gate::sigmoid;
};

// c = Σ_j softmax_j(w·x_j + b)·x_j;  y = x·gate(mlp_scale(c)) + mlp_add(c), each mlp W2·relu(norm(W1·c + b1)) + b2.
// [B,C,h,w] → same. The recorder gets the softmax as [B,1,1,h·w] tokens and the gate under `mlp_scale`.
//
// Keys `conv_attn.*` [1,C,1,1], `mlp_scale.{fc1,norm,fc2}.*`, `mlp_add.…` (timm's GlobalContext). Throws Error(usage)
// for widths that are not positive and where neither scale nor add is asked for, Error(data) naming the shape of x.
// Cao et al., GCNet, 2019, https://arxiv.org/abs/1904.11492
class GlobalContextImpl : public Module<GlobalContextImpl> {
 public:
  explicit GlobalContextImpl(const GlobalContextOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  GlobalContextOptions options;

  class MlpImpl : public Module<MlpImpl> {
   public:
    MlpImpl(const GlobalContextOptions& options, bool starts_at_zero);
    void reset() override;
    at::Tensor forward(const at::Tensor& context);  // [B,C] → [B,C,1,1]

    GlobalContextOptions options;
    bool starts_at_zero;
    Conv2d fc1 = nullptr;
    LayerNorm norm = nullptr;
    Conv2d fc2 = nullptr;
  };
  Conv2d conv_attn = nullptr;
  std::shared_ptr<MlpImpl> mlp_add;
  std::shared_ptr<MlpImpl> mlp_scale;
};
FOVEA_MODULE(GlobalContext);

}  // namespace fovea
