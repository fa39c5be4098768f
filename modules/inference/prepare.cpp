#include "fovea/modules/inference/prepare.h"

#include "fovea/modules/inference/linear.h"
#include "fovea/modules/module.h"

namespace fovea {
namespace {

void pack(torch::nn::Module& module) {
  if (auto* ours = dynamic_cast<ModuleBase*>(&module)) ours->pack();
}

}  // namespace

void prepare_for_inference(torch::nn::Module& model) {
  model.eval();
  pack(model);
  for (const auto& module : model.modules(/*include_self=*/false)) pack(*module);
}

void quantise_weights(torch::nn::Module& model) {
  model.eval();
  if (auto* linear = dynamic_cast<LinearImpl*>(&model)) linear->quantise();
  for (const auto& module : model.modules(/*include_self=*/false)) {
    if (auto* linear = dynamic_cast<LinearImpl*>(module.get())) linear->quantise();
  }
}

}  // namespace fovea
