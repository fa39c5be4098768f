#include "fovea/modules/module.h"

namespace fovea::detail {
namespace {

at::Tensor moved(const at::Tensor& tensor, std::optional<at::Device> device, std::optional<at::ScalarType> dtype,
                 bool non_blocking) {
  const auto type = dtype && tensor.is_floating_point() ? *dtype : tensor.scalar_type();
  return tensor.to(device.value_or(tensor.device()), type, non_blocking);
}

}  // namespace

void unpack(torch::nn::Module& module) {
  if (auto* ours = dynamic_cast<ModuleBase*>(&module)) ours->unpack();
}

void move_module(torch::nn::Module& module, std::optional<at::Device> device, std::optional<at::ScalarType> dtype,
                 bool non_blocking) {
  unpack(module);
  for (const auto& child : module.children()) {
    if (device && dtype) {
      child->to(*device, *dtype, non_blocking);
    } else if (device) {
      child->to(*device, non_blocking);
    } else {
      child->to(*dtype, non_blocking);
    }
  }
  for (auto& parameter : module.parameters(/*recurse=*/false)) {
    parameter.set_data(moved(parameter.detach(), device, dtype, non_blocking));
  }
  for (auto& buffer : module.buffers(/*recurse=*/false)) {
    if (buffer.defined()) buffer.set_data(moved(buffer, device, dtype, non_blocking));
  }
  if (!device) return;
  if (auto* ours = dynamic_cast<ModuleBase*>(&module)) {
    for (at::Tensor* table : ours->tables()) {
      if (table->defined()) *table = table->to(*device, non_blocking);
    }
  }
}

void move_tables_like(torch::nn::Module& copy, torch::nn::Module& original, std::optional<at::Device> device) {
  auto* to = dynamic_cast<ModuleBase*>(&copy);
  auto* from = dynamic_cast<ModuleBase*>(&original);
  if (to == nullptr || from == nullptr) return;
  to->unpack();
  const auto targets = to->tables();
  const auto sources = from->tables();
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i]->defined()) *targets[i] = targets[i]->to(device.value_or(sources[i]->device()));
  }
}

}  // namespace fovea::detail
