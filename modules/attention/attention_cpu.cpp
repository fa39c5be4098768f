// The row of our own CPU kernels: tensors in, tensors out, and their gradients.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/attention/problem.h"

namespace fovea {
namespace {

constexpr int64_t kMostWidth = 256;

// The kernel's view of a problem, with the tensors that it points into.
struct PreparedHeads {
  explicit PreparedHeads(const AttentionProblem& p)
      : q(cpu::with_adjacent_columns(p.q)),
        k(cpu::with_adjacent_columns(p.k)),
        v(cpu::with_adjacent_columns(p.v)),
        bias(cpu::with_adjacent_columns(p.bias)),
        mask(cpu::with_adjacent_columns(p.mask)) {
    call = {.type = cpu::number(q),
            .batch = q.size(0),
            .heads = q.size(1),
            .key_heads = k.size(1),
            .queries = q.size(2),
            .keys = k.size(2),
            .width = q.size(3),
            .value_width = v.size(3),
            .scale = p.scale,
            .causal = p.causal,
            .causal_offset = p.causal_align == CausalAlign::last ? k.size(2) - q.size(2) : 0,
            .q = cpu::view(q),
            .k = cpu::view(k),
            .v = cpu::view(v)};
    if (bias.defined()) call.bias = cpu::view(bias);
    if (mask.defined()) call.mask = cpu::view(mask);
  }

  at::Tensor q, k, v, bias, mask;
  kernels::AttentionCall call;
};

// Rows of one token's heads lie together, so that joining the heads is a view: [B,N,H,e] seen as [B,H,N,e].
at::Tensor empty_heads(const at::Tensor& like, int64_t heads, int64_t rows, int64_t width) {
  return at::empty({like.size(0), rows, heads, width}, like.options()).transpose(1, 2);
}

at::Tensor forward(const AttentionProblem& p, const at::Tensor& log_sum) {
  const PreparedHeads prepared(p);
  auto out = empty_heads(p.q, p.q.size(1), p.q.size(2), p.v.size(3));
  kernels::attention_forward(prepared.call, cpu::mutable_view(out), log_sum.defined() ? log_sum.data_ptr() : nullptr,
                             cpu::runtime());
  return out;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// q, k, v and the bias come as arguments of their own, because autograd looks for tensors there alone, and takes
// undefined ones as absent options alone.
struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::optional<at::Tensor>& bias, const AttentionProblem& rest) {
    AttentionProblem p = rest;
    p.q = q;
    p.k = k;
    p.v = v;
    p.bias = bias.value_or(at::Tensor());
    const auto log_sum = at::empty({q.size(0), q.size(1), q.size(2)}, q.options().dtype(cpu::sum_type(q)));
    const auto out = fovea::forward(p, log_sum);
    context->save_for_backward({q, k, v, p.bias, p.mask, out, log_sum});
    context->saved_data["scale"] = p.scale;
    context->saved_data["causal"] = p.causal;
    context->saved_data["causal_to_last"] = p.causal_align == CausalAlign::last;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    AttentionProblem p{.q = saved[0], .k = saved[1], .v = saved[2], .mask = saved[4], .bias = saved[3]};
    p.scale = context->saved_data["scale"].toDouble();
    p.causal = context->saved_data["causal"].toBool();
    p.causal_align = context->saved_data["causal_to_last"].toBool() ? CausalAlign::last : CausalAlign::first;
    const bool wants_bias = p.bias.defined() && context->needs_input_grad(3);
    if (at::GradMode::is_enabled()) return differentiable_gradients(p, grads[0], wants_bias);
    return gradients(p, saved[5], saved[6], grads[0], wants_bias);
  }

  static variable_list gradients(const AttentionProblem& p, const at::Tensor& out, const at::Tensor& log_sum,
                                 const at::Tensor& grad, bool wants_bias) {
    const PreparedHeads prepared(p);
    const auto grad_out = cpu::with_adjacent_columns(grad);
    auto grad_q = empty_heads(p.q, p.q.size(1), p.q.size(2), p.q.size(3));
    auto grad_k = empty_heads(p.k, p.k.size(1), p.k.size(2), p.k.size(3));
    auto grad_v = empty_heads(p.v, p.v.size(1), p.v.size(2), p.v.size(3));
    at::Tensor grad_bias;
    kernels::AttentionGradients wanted{.out = cpu::view(out),
                                       .log_sum = log_sum.const_data_ptr(),
                                       .grad_out = cpu::view(grad_out),
                                       .grad_q = cpu::mutable_view(grad_q),
                                       .grad_k = cpu::mutable_view(grad_k),
                                       .grad_v = cpu::mutable_view(grad_v)};
    if (wants_bias) {
      grad_bias = at::zeros(p.bias.sizes(), log_sum.options());
      wanted.grad_bias = cpu::mutable_view(grad_bias);
    }
    kernels::attention_backward(prepared.call, wanted, cpu::runtime());
    if (wants_bias) grad_bias = grad_bias.to(p.bias.scalar_type());
    return {grad_q, grad_k, grad_v, grad_bias, at::Tensor()};
  }

  // Gradients that are differentiated again come from the readable formula.
  static variable_list differentiable_gradients(const AttentionProblem& p, const at::Tensor& grad, bool wants_bias) {
    variable_list inputs;
    for (const auto& t : {p.q, p.k, p.v}) inputs.push_back(t);
    if (wants_bias) inputs.push_back(p.bias);
    variable_list wanted;
    std::vector<size_t> places;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].requires_grad()) continue;
      wanted.push_back(inputs[i]);
      places.push_back(i);
    }
    const auto found = torch::autograd::grad({reference_attention(p).output}, wanted, {grad}, /*retain_graph=*/true,
                                             /*create_graph=*/true, /*allow_unused=*/true);
    variable_list all(5);
    for (size_t i = 0; i < places.size(); ++i) all[places[i]] = found[i];
    return all;
  }
};

}  // namespace

std::string cpu_refuses(const AttentionProblem& p) {
  if (const auto reason = cpu::refuses(p.q); !reason.empty()) return reason;
  if (p.q.numel() == 0 || p.k.numel() == 0 || p.v.numel() == 0) return "a dimension is empty";
  if (p.dropout > 0) return "dropout";
  if (p.q.size(3) > kMostWidth || p.v.size(3) > kMostWidth) {
    return fmt::format("head widths {} and {}, over {}", p.q.size(3), p.v.size(3), kMostWidth);
  }
  return "";
}

at::Tensor cpu_attention(const AttentionProblem& p) {
  if (!differentiates({p.q, p.k, p.v, p.bias})) return forward(p, {});
  AttentionProblem rest = p;
  rest.q = rest.k = rest.v = rest.bias = at::Tensor();
  return AttentionFunction::apply(p.q, p.k, p.v, p.bias.defined() ? std::optional(p.bias) : std::nullopt, rest);
}

}  // namespace fovea
