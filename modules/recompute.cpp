#include "fovea/modules/recompute.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <mutex>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename Use>
auto with_generator(at::Device device, Use use) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  return use(generator);
}

// Everything beside its input that decides what a block computes.
class Surroundings {
 public:
  static Surroundings now(at::Device device) {
    Surroundings here;
    here.devices_ = {at::Device(at::kCPU)};
    if (!device.is_cpu()) here.devices_.push_back(device);
    for (const at::Device d : here.devices_) {
      here.random_.push_back(with_generator(d, [](at::Generator& generator) { return generator.get_state(); }));
    }
    here.autocast_ = at::autocast::is_autocast_enabled(device.type());
    here.autocast_type_ = at::autocast::get_autocast_dtype(device.type());
    return here;
  }

  void restore() const {
    for (size_t i = 0; i < devices_.size(); ++i) {
      with_generator(devices_[i], [&](at::Generator& generator) { generator.set_state(random_[i]); });
    }
    at::autocast::set_autocast_enabled(devices_.back().type(), autocast_);
    at::autocast::set_autocast_dtype(devices_.back().type(), autocast_type_);
  }

 private:
  std::vector<at::Device> devices_;
  std::vector<at::Tensor> random_;  // states of their generators
  bool autocast_ = false;
  at::ScalarType autocast_type_ = at::kFloat;
};

// The buffers of a block, as they were when this was made.
class KeptBuffers {
 public:
  explicit KeptBuffers(const torch::nn::Module& block) : buffers_(block.buffers()) {
    for (const auto& buffer : buffers_) values_.push_back(buffer.clone());
  }
  // Unseen by the version counters: other graphs may hold these buffers.
  void restore() const {
    for (size_t i = 0; i < buffers_.size(); ++i) buffers_[i].variable_data().copy_(values_[i]);
  }

 private:
  std::vector<at::Tensor> buffers_;
  std::vector<at::Tensor> values_;
};

struct Job : torch::CustomClassHolder {
  std::shared_ptr<torch::nn::Module> block;
  std::function<at::Tensor(const at::Tensor&)> forward;
  Surroundings surroundings = Surroundings::now(at::kCPU);
  TokenGrid grid;
  bool training = false;
};

struct RecomputedBlock : torch::autograd::Function<RecomputedBlock> {
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<Job>& job, const at::Tensor& x,
                            at::TensorList parameters) {
    context->saved_data["job"] = c10::IValue::make_capsule(job);
    variable_list saved = {x};
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    context->save_for_backward(saved);
    return job->forward(x);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto job = c10::static_intrusive_pointer_cast<Job>(context->saved_data["job"].toCapsule());
    require(job->training == job->block->is_training(), ErrorKind::usage,
            "recompute_in_backward: the block ran in {} mode, but is in {} mode now",
            job->training ? "training" : "evaluation", job->training ? "evaluation" : "training");
    variable_list inputs = context->get_saved_variables();
    inputs[0] = inputs[0].detach().set_requires_grad(inputs[0].requires_grad());
    variable_list wanted;
    std::vector<size_t> places;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].requires_grad()) continue;
      wanted.push_back(inputs[i]);
      places.push_back(i + 1);  // behind the job
    }
    const auto found = gradients(*job, inputs[0], wanted, grads[0]);
    variable_list all(inputs.size() + 1);
    for (size_t i = 0; i < places.size(); ++i) all[places[i]] = found[i];
    return all;
  }

  static variable_list gradients(const Job& job, const at::Tensor& x, const variable_list& wanted,
                                 const at::Tensor& grad) {
    const auto outside = Surroundings::now(x.device());
    const KeptBuffers buffers(*job.block);
    const recording::Pause pause;
    const TokenGridScope scope(job.grid);
    at::Tensor output;
    {
      const at::AutoGradMode differentiate(true);
      job.surroundings.restore();
      output = job.forward(x);
    }
    outside.restore();
    auto found = torch::autograd::grad({output}, wanted, {grad}, /*retain_graph=*/std::nullopt,
                                       /*create_graph=*/false, /*allow_unused=*/true);
    buffers.restore();
    return found;
  }
};

thread_local bool recomputing = false;

}  // namespace

RecomputeScope::RecomputeScope(bool on) : outer_(recomputing) {
  recomputing = recomputing || on;
}

RecomputeScope::~RecomputeScope() {
  recomputing = outer_;
}

bool RecomputeScope::active() {
  return recomputing;
}

at::Tensor recompute_in_backward(const std::shared_ptr<torch::nn::Module>& block,
                                 const std::function<at::Tensor(const at::Tensor&)>& forward, const at::Tensor& x) {
  require(block != nullptr && x.defined(), ErrorKind::usage, "recompute_in_backward: no block or no input");
  const auto parameters = block->parameters();
  bool differentiates = x.requires_grad();
  for (const auto& parameter : parameters) differentiates |= parameter.requires_grad();
  if (!at::GradMode::is_enabled() || !differentiates || recording::wants_graph(*block)) return forward(x);
  auto job = c10::make_intrusive<Job>();
  job->block = block;
  job->forward = forward;
  job->surroundings = Surroundings::now(x.device());
  job->grid = recording::current_grid();
  job->training = block->is_training();
  return RecomputedBlock::apply(job, x, at::TensorList(parameters));
}

}  // namespace fovea
