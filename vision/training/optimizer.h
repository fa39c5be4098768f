// AdamW or SGD over the parameters of a model, with a state that can be saved by name.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "fovea/modules/weights/state_dict.h"

namespace torch::optim {
class Optimizer;
}

namespace fovea {

enum class OptimizerKind { adamw, sgd };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::adamw;
  double weight_decay = 0.05;  // of matrices and filters only: biases, norms, tokens and tables are left alone
  double momentum = 0.9;       // SGD's, Nesterov; unused by AdamW (β 0.9, 0.999)
};

class TrainingOptimizer {
 public:
  // The model's parameters must stay the same tensors. Throws Error(usage) for a negative decay or a momentum outside
  // [0,1).
  TrainingOptimizer(const torch::nn::Module& model, const OptimizerOptions& options);
  ~TrainingOptimizer();

  void zero_grad();
  void step(double learning_rate);

  // Euclidean norm of all gradients together, which are scaled down to `limit` where it is larger (0: no limit).
  double clip_gradients(double limit);

  // Moments and step counts as "PARAMETER/exp_avg"; empty before the first step.
  std::vector<NamedTensor> state() const;
  // Throws Error(data) naming a tensor that is missing or has another shape.
  void restore(const StateDict& state);

 private:
  OptimizerKind kind_;
  std::vector<NamedTensor> parameters_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace fovea
