#include "fovea/vision/training/optimizer.h"

#include <ATen/ATen.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

std::unique_ptr<torch::optim::OptimizerOptions> torch_options(const OptimizerOptions& options, bool decays) {
  const double decay = decays ? options.weight_decay : 0;
  if (options.kind == OptimizerKind::adamw) {
    return std::make_unique<torch::optim::AdamWOptions>(torch::optim::AdamWOptions(0).weight_decay(decay));
  }
  return std::make_unique<torch::optim::SGDOptions>(
      torch::optim::SGDOptions(0).momentum(options.momentum).nesterov(options.momentum > 0).weight_decay(decay));
}

const at::Tensor& saved(const StateDict& state, const std::string& name, at::IntArrayRef shape) {
  const at::Tensor* found = state.find(name);
  require(found != nullptr, ErrorKind::data, "optimizer state: {} is missing", name);
  require(found->sizes() == shape, ErrorKind::data, "optimizer state: {} has {} elements, expected {}", name,
          found->numel(), c10::multiply_integers(shape));
  return *found;
}

}  // namespace

TrainingOptimizer::TrainingOptimizer(const torch::nn::Module& model, const OptimizerOptions& options)
    : kind_(options.kind) {
  require(options.weight_decay >= 0, ErrorKind::usage, "optimizer: weight decay {} is negative", options.weight_decay);
  require(options.momentum >= 0 && options.momentum < 1, ErrorKind::usage, "optimizer: momentum {} is not in [0,1)",
          options.momentum);
  std::vector<at::Tensor> decaying, others;
  for (const auto& item : model.named_parameters()) {
    parameters_.push_back({item.key(), item.value()});
    // Tokens and tables have more than one dimension too, but no name that ends in "weight".
    (item.value().dim() > 1 && item.key().ends_with("weight") ? decaying : others).push_back(item.value());
  }
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(decaying, torch_options(options, true));
  groups.emplace_back(others, torch_options(options, false));
  if (kind_ == OptimizerKind::adamw) {
    optimizer_ = std::make_unique<torch::optim::AdamW>(groups);
  } else {
    optimizer_ = std::make_unique<torch::optim::SGD>(groups, torch::optim::SGDOptions(0));
  }
}

TrainingOptimizer::~TrainingOptimizer() = default;

void TrainingOptimizer::zero_grad() {
  optimizer_->zero_grad();
}

void TrainingOptimizer::step(double learning_rate) {
  for (auto& group : optimizer_->param_groups()) group.options().set_lr(learning_rate);
  optimizer_->step();
}

double TrainingOptimizer::clip_gradients(double limit) {
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : parameters_) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  const double norm = at::stack(at::_foreach_norm(gradients, 2)).norm().item<double>();
  if (limit > 0 && norm > limit) at::_foreach_mul_(gradients, at::Scalar(limit / norm));
  return norm;
}

std::vector<NamedTensor> TrainingOptimizer::state() const {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, parameter] : parameters_) {
    const auto found = optimizer_->state().find(parameter.unsafeGetTensorImpl());
    if (found == optimizer_->state().end()) continue;
    if (kind_ == OptimizerKind::adamw) {
      const auto& moments = static_cast<const torch::optim::AdamWParamState&>(*found->second);
      tensors.push_back({name + "/step", at::scalar_tensor(moments.step(), at::kLong)});
      tensors.push_back({name + "/exp_avg", moments.exp_avg()});
      tensors.push_back({name + "/exp_avg_sq", moments.exp_avg_sq()});
    } else {
      const auto& moments = static_cast<const torch::optim::SGDParamState&>(*found->second);
      if (moments.momentum_buffer().defined()) tensors.push_back({name + "/momentum", moments.momentum_buffer()});
    }
  }
  return tensors;
}

void TrainingOptimizer::restore(const StateDict& state) {
  optimizer_->state().clear();
  for (const auto& [name, parameter] : parameters_) {
    void* key = parameter.unsafeGetTensorImpl();
    const auto moment = [&](const char* which) {
      return saved(state, name + which, parameter.sizes()).to(parameter.device()).clone();
    };
    if (kind_ == OptimizerKind::adamw) {
      if (state.find(name + "/step") == nullptr) continue;  // never had a gradient
      auto moments = std::make_unique<torch::optim::AdamWParamState>();
      moments->step(saved(state, name + "/step", {}).item<int64_t>());
      moments->exp_avg(moment("/exp_avg"));
      moments->exp_avg_sq(moment("/exp_avg_sq"));
      optimizer_->state()[key] = std::move(moments);
    } else {
      if (state.find(name + "/momentum") == nullptr) continue;
      auto moments = std::make_unique<torch::optim::SGDParamState>();
      moments->momentum_buffer(moment("/momentum"));
      optimizer_->state()[key] = std::move(moments);
    }
  }
}

}  // namespace fovea
