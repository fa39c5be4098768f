// Gather-excite: every place is scaled by a gate that is gathered from its neighbourhood, or from the whole map.
#pragma once

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/norm.h"

namespace fovea {

struct GatherExciteOptions {
  int64_t channels = 0;
  int64_t extent = 0;    // side ratio of the map to the gathered one, a power of two; 0: the whole map
  bool learned = false;  // gather by depthwise convolutions (GE-θ⁺); false: by means (GE-θ⁻)
  int64_t height = 0;    // the map's size in pixels, needed for a learned gathering of the whole map alone
  int64_t width = 0;
  bool mlp = true;         // two layers over channels behind the gathering, as in squeeze-and-excitation
  int64_t reduction = 16;  // channels for each squeezed one
  Gate gate = Gate::sigmoid;
};

// x·gate(grow(mlp(gather(x)))). [B,C,h,w] → same.
//
// gather: with means, over 2e−1 pixels square every e pixels, borders left out of the mean; learned, log₂e depthwise
// 3×3 convolutions of stride 2, each with a batch norm and, but for the last, a ReLU; over the whole map, one depthwise
// convolution as large as the map. grow: to the nearest gathered place. Extent 0 without learning is
// squeeze-and-excitation.
//
// Keys `gather.conv1.weight`, `gather.norm1.*` …, `mlp.fc1.*`, `mlp.fc2.*` (timm's GatherExcite). Throws Error(usage)
// for options that cannot be, Error(data) naming the shape of x.
// Hu et al., Gather-Excite, 2018, https://arxiv.org/abs/1810.12348
class GatherExciteImpl : public Module<GatherExciteImpl> {
 public:
  explicit GatherExciteImpl(const GatherExciteOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  GatherExciteOptions options;

  class DepthwiseImpl : public Module<DepthwiseImpl> {
   public:
    DepthwiseImpl(int64_t channels, int64_t height, int64_t width) : shape{channels, 1, height, width} { reset(); }
    void reset() override;

    std::array<int64_t, 4> shape;
    at::Tensor weight;  // [C,1,3,3] or [C,1,h,w]
  };
  struct Step {
    std::shared_ptr<DepthwiseImpl> conv;
    BatchNorm2d norm = nullptr;
  };

  class GatherImpl : public Module<GatherImpl> {
   public:
    explicit GatherImpl(const GatherExciteOptions& options);
    void reset() override;
    at::Tensor forward(const at::Tensor& x);

    GatherExciteOptions options;
    std::vector<Step> steps;
  };
  class MlpImpl : public Module<MlpImpl> {
   public:
    explicit MlpImpl(const GatherExciteOptions& options);
    void reset() override;
    at::Tensor forward(const at::Tensor& x) { return fc2->forward(at::relu(fc1->forward(x))); }

    GatherExciteOptions options;
    Conv2d fc1 = nullptr;
    Conv2d fc2 = nullptr;
  };
  std::shared_ptr<GatherImpl> gather;  // null without learning
  std::shared_ptr<MlpImpl> mlp;        // null without
};
FOVEA_MODULE(GatherExcite);

}  // namespace fovea
