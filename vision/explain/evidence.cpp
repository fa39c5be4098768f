#include "fovea/vision/explain/evidence.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "fovea/modules/error.h"
#include "fovea/vision/explain/heat_map.h"

namespace fovea {
namespace {

// Without gradients of their own, parameters cost a backward pass nothing.
class FrozenParameters {
 public:
  explicit FrozenParameters(const torch::nn::Module& module) {
    for (at::Tensor& parameter : module.parameters()) {
      if (parameter.requires_grad()) parameters_.push_back(parameter.requires_grad_(false));
    }
  }
  ~FrozenParameters() {
    for (at::Tensor& parameter : parameters_) parameter.requires_grad_(true);
  }
  FrozenParameters(const FrozenParameters&) = delete;
  FrozenParameters& operator=(const FrozenParameters&) = delete;

 private:
  std::vector<at::Tensor> parameters_;
};

std::vector<int64_t> targets_of(const at::Tensor& logits, std::optional<int64_t> target) {
  if (target) require_class(*target, logits.size(1));
  std::vector<int64_t> targets;
  for (int64_t i = 0; i < logits.size(0); ++i) {
    targets.push_back(target ? *target : logits[i].argmax().item<int64_t>());
  }
  return targets;
}

}  // namespace

void require_class(int64_t target, int64_t classes) {
  require(target >= 0 && target < classes, ErrorKind::usage, "class {}: the model has classes 0…{}", target,
          classes - 1);
}

at::Tensor Evidence::answer() const {
  const LayerOutput& features = outputs.back();
  const AttentionMap& last = select_map(maps, MapKind::tokens, "");
  const bool same_places = features.grid.height == last.grid.height && features.grid.width == last.grid.width;
  if (!features.gradient.defined() || features.grid.prefix > 0 || !same_places) return {};
  const at::Tensor own = features.gradient[0].to(at::kCPU, at::kDouble).abs();
  const at::Tensor places = own.sum(features.channel_dim == 1 ? 0 : -1).flatten();
  const at::Tensor total = places.sum();
  return total.item<double>() > 0 ? places / total : at::Tensor();
}

Evidence gather_evidence(ImageModel& model, const at::Tensor& x, const EvidenceOptions& options) {
  const bool differentiate = options.recorder.gradients;
  const FrozenParameters frozen(model.module());
  const at::AutoGradMode mode(differentiate);
  const AttentionRecorder recorder(model.module(), options.recorder);
  const at::Tensor input = x.detach().requires_grad_(differentiate);
  const at::Tensor features = model.forward_features(input);
  if (differentiate) features.retain_grad();
  const at::Tensor logits = model.logits(features);

  Evidence evidence{.logits = logits.detach().to(at::kCPU, at::kFloat)};
  evidence.targets = targets_of(evidence.logits, options.target);
  if (differentiate) {
    const at::Tensor chosen = logits.gather(
        1, at::tensor(evidence.targets, logits.options().dtype(at::kLong).requires_grad(false)).unsqueeze(1));
    torch::autograd::backward({chosen.sum()}, {});
  }
  evidence.maps = recorder.maps();
  evidence.outputs = recorder.outputs();
  evidence.outputs.push_back({.path = "features",
                              .value = features.detach(),
                              .gradient = differentiate ? features.grad() : at::Tensor(),
                              .channel_dim = features.dim() == 4 ? 1 : -1,
                              .grid = model.grid(x.size(2), x.size(3))});
  return evidence;
}

}  // namespace fovea
