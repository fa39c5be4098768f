// The row of our own CPU kernels of additive attention.
#include "fovea/modules/attention/additive_function.h"
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/kernels/cpu/additive.h"

namespace fovea {
namespace {

// The backward pass begins with the weights.
struct CpuAdditive {
  static at::Tensor forward(const PreparedAdditive& prepared, const AdditiveAttentionResult& result) {
    kernels::additive_forward(prepared.call, result.context.data_ptr(), result.weights.data_ptr(), cpu::runtime());
    return result.weights;
  }

  static std::vector<at::Tensor> backward(const PreparedAdditive& prepared, const AdditiveGiven& given) {
    const auto grad_query = at::empty(prepared.query.sizes(), given.grad_context.options()),
               grad_keys = at::empty(prepared.keys.sizes(), grad_query.options()),
               grad_values = at::empty(prepared.values.sizes(), grad_query.options()),
               grad_v = at::empty(prepared.v.sizes(), grad_query.options().dtype(cpu::sum_type(prepared.v)));
    kernels::additive_backward(prepared.call,
                               {.weights = given.kept.const_data_ptr(),
                                .grad_context = given.grad_context.const_data_ptr(),
                                .grad_weights = cpu::data_of(given.grad_weights),
                                .grad_query = grad_query.data_ptr(),
                                .grad_key = grad_keys.data_ptr(),
                                .grad_value = grad_values.data_ptr(),
                                .grad_v = grad_v.data_ptr()},
                               cpu::runtime());
    return {grad_query, grad_keys, grad_values, grad_v.to(prepared.v.scalar_type())};
  }
};

}  // namespace

std::string additive_cpu_refuses(const AdditiveProblem& p) {
  if (const auto reason = cpu::refuses(p.query); !reason.empty()) return reason;
  if (p.relu && differentiates({p.query, p.keys, p.values, p.v})) return "gradients of relu";
  return additive_kernel_refuses(p);
}

AdditiveAttentionResult additive_on_cpu(const AdditiveProblem& p) {
  return kernel_additive_attention<CpuAdditive>(p);
}

}  // namespace fovea
