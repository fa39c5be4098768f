#include "fovea/modules/inference/prepare.h"

#include "fovea/modules/module.h"

namespace fovea {

void prepare_for_inference(torch::nn::Module& model) {
  model.eval();
  for (const auto& module : model.modules()) {
    if (auto* ours = dynamic_cast<ModuleBase*>(module.get())) ours->pack();
  }
}

}  // namespace fovea
