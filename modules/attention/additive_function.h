// The way from a problem to a kernel of additive attention and back, on every device. A Kernel has
//
//     static at::Tensor forward(const PreparedAdditive&, const AdditiveAttentionResult&);  // what its backward pass
//     needs static Variables backward(const PreparedAdditive&, const AdditiveGiven&);            // of query, keys,
//     values, v
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fovea/modules/attention/additive_problem.h"
#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/formula_gradients.h"

namespace fovea {

struct AdditiveGiven {
  at::Tensor kept;          // of the forward pass
  at::Tensor grad_context;  // [B,N,e], contiguous
  at::Tensor grad_weights;  // [B,N,M], contiguous, or undefined
};

template <typename Kernel>
struct AdditiveFunction : torch::autograd::Function<AdditiveFunction<Kernel>> {
  using Context = torch::autograd::AutogradContext;
  using Variables = torch::autograd::variable_list;

  static Variables forward(Context* context, const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                           const at::Tensor& v, const std::optional<at::Tensor>& mask) {
    const AdditiveProblem p{query, keys, values, v, mask.value_or(at::Tensor())};
    const PreparedAdditive prepared(p);
    const auto result = prepared.empty_result();
    const auto kept = Kernel::forward(prepared, result);
    context->save_for_backward({query, keys, values, v, p.mask, kept});
    context->set_materialize_grads(false);
    return {result.context, result.weights};
  }

  static Variables backward(Context* context, const Variables& grads) {
    const auto saved = context->get_saved_variables();
    const AdditiveProblem p{saved[0], saved[1], saved[2], saved[3], saved[4]};
    if (at::GradMode::is_enabled()) return of_formula(p, grads);
    const PreparedAdditive prepared(p);
    const auto& call = prepared.call;
    auto all = Kernel::backward(
        prepared,
        {.kept = saved[5],
         .grad_context = grads[0].defined() ? grads[0].contiguous()
                                            : at::zeros({call.batch, call.queries, call.value_width}, query_options(p)),
         .grad_weights = grads[1].defined() ? grads[1].contiguous() : grads[1]});
    all.resize(kArguments);
    return all;
  }

 private:
  static constexpr size_t kArguments = 5;

  static at::TensorOptions query_options(const AdditiveProblem& p) { return p.query.options().requires_grad(false); }

  static Variables of_formula(const AdditiveProblem& p, const Variables& grads) {
    const auto result = additive_reference(p);
    Variables outputs, above;
    for (const auto& [output, grad] : {std::pair(result.context, grads[0]), std::pair(result.weights, grads[1])}) {
      if (!grad.defined()) continue;
      outputs.push_back(output);
      above.push_back(grad);
    }
    return formula_gradients(outputs, above, {p.query, p.keys, p.values, p.v}, kArguments);
  }
};

template <typename Kernel>
AdditiveAttentionResult kernel_additive_attention(const AdditiveProblem& p) {
  if (!differentiates({p.query, p.keys, p.values, p.v})) {
    const PreparedAdditive prepared(p);
    const auto result = prepared.empty_result();
    Kernel::forward(prepared, result);
    return result;
  }
  const auto results =
      AdditiveFunction<Kernel>::apply(p.query, p.keys, p.values, p.v, kernel_tensors::optional(p.mask));
  return {results[0], results[1]};
}

}  // namespace fovea
