// The way from a problem to an attention kernel and back, on every device. A Kernel has
//
//     static void forward(const kernels::AttentionCall&, const kernels::MutableView& out, void* log_sum,
//                         const at::Tensor& on);    // log_sum null: not wanted
//     static void backward(const kernels::AttentionCall&, const kernels::AttentionGradients&, const at::Tensor& on);
//
// where `on` is a tensor of the device.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/attention/formula_gradients.h"
#include "fovea/modules/attention/kernel_tensors.h"
#include "fovea/modules/attention/problem.h"

namespace fovea {

// Why no kernel takes this problem, whatever its device.
inline std::string attention_kernel_refuses(const AttentionProblem& p, int64_t most_width) {
  if (p.q.numel() == 0 || p.k.numel() == 0 || p.v.numel() == 0) return "a dimension is empty";
  if (p.q.size(3) > most_width || p.v.size(3) > most_width) {
    return fmt::format("head widths {} and {}, over {}", p.q.size(3), p.v.size(3), most_width);
  }
  if (p.dropout > 0 && p.dropout_mode != DropoutMode::scale) return "dropout that does more than scale";
  return "";
}

// The kernel's view of a problem, with the tensors that it points into.
struct PreparedHeads {
  PreparedHeads(const AttentionProblem& p, uint64_t seed)
      : q(kernel_tensors::with_adjacent_columns(p.q)),
        k(kernel_tensors::with_adjacent_columns(p.k)),
        v(kernel_tensors::with_adjacent_columns(p.v)),
        bias(kernel_tensors::with_adjacent_columns(p.bias)),
        mask(kernel_tensors::with_adjacent_columns(p.mask)) {
    call = {.type = kernel_tensors::number(q),
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
            .q = kernel_tensors::view(q),
            .k = kernel_tensors::view(k),
            .v = kernel_tensors::view(v)};
    if (bias.defined()) call.bias = kernel_tensors::view(bias);
    if (mask.defined()) call.mask = kernel_tensors::view(mask);
    call.dropout = p.dropout;
    call.seed = seed;
  }

  at::Tensor q, k, v, bias, mask;
  kernels::AttentionCall call;
};

// Rows of one token's heads lie together, so that joining the heads is a view: [B,N,H,e] seen as [B,H,N,e].
inline at::Tensor empty_heads(const at::Tensor& like, int64_t heads, int64_t rows, int64_t width) {
  return at::empty({like.size(0), rows, heads, width}, like.options()).transpose(1, 2);
}

// log Σ exp(score) of each row, in the type of the sums.
inline at::Tensor empty_log_sum(const at::Tensor& q) {
  return at::empty({q.size(0), q.size(1), q.size(2)}, q.options().dtype(kernel_tensors::sum_type(q)));
}

template <typename Kernel>
struct AttentionFunction : torch::autograd::Function<AttentionFunction<Kernel>> {
  using Context = torch::autograd::AutogradContext;
  using Variables = torch::autograd::variable_list;

  static at::Tensor run(const AttentionProblem& p, uint64_t seed, const at::Tensor& log_sum) {
    const PreparedHeads prepared(p, seed);
    auto out = empty_heads(p.q, p.q.size(1), p.q.size(2), p.v.size(3));
    Kernel::forward(prepared.call, kernel_tensors::mutable_view(out), log_sum.defined() ? log_sum.data_ptr() : nullptr,
                    p.q);
    return out;
  }

  // q, k, v and the bias come as arguments of their own, because autograd looks for tensors there alone, and takes
  // undefined ones as absent options alone.
  static at::Tensor forward(Context* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::optional<at::Tensor>& bias, const AttentionProblem& rest, uint64_t seed) {
    AttentionProblem p = rest;
    p.q = q;
    p.k = k;
    p.v = v;
    p.bias = bias.value_or(at::Tensor());
    const auto log_sum = empty_log_sum(q);
    const auto out = run(p, seed, log_sum);
    context->save_for_backward({q, k, v, p.bias, p.mask, out, log_sum});
    auto& kept = context->saved_data;
    kept["scale"] = p.scale;
    kept["causal"] = p.causal;
    kept["causal_to_last"] = p.causal_align == CausalAlign::last;
    kept["dropout"] = p.dropout;
    kept["seed"] = static_cast<int64_t>(seed);
    return out;
  }

  static Variables backward(Context* context, const Variables& grads) {
    const auto saved = context->get_saved_variables();
    auto& kept = context->saved_data;
    AttentionProblem p{.q = saved[0], .k = saved[1], .v = saved[2], .mask = saved[4], .bias = saved[3]};
    p.scale = kept["scale"].toDouble();
    p.causal = kept["causal"].toBool();
    p.causal_align = kept["causal_to_last"].toBool() ? CausalAlign::last : CausalAlign::first;
    p.dropout = kept["dropout"].toDouble();
    const auto seed = static_cast<uint64_t>(kept["seed"].toInt());
    if (at::GradMode::is_enabled()) {
      const auto& q = p.q;
      p.factors = cpu::dropout_factors(p.dropout, seed, {q.size(0), q.size(1), q.size(2), p.k.size(2)}, q);
      p.dropout = 0;
      return formula_gradients({reference_attention(p).output}, grads, {p.q, p.k, p.v, p.bias}, kArguments);
    }
    const PreparedHeads prepared(p, seed);
    return gradients(p, prepared, {.out = saved[5], .log_sum = saved[6], .grad_out = grads[0]},
                     p.bias.defined() && context->needs_input_grad(3));
  }

  // All contiguous in their last dimension but for grad_out.
  struct Given {
    at::Tensor out;
    at::Tensor log_sum;
    at::Tensor grad_out;
  };

  static Variables gradients(const AttentionProblem& p, const PreparedHeads& prepared, const Given& given,
                             bool wants_bias) {
    const auto grad_out = kernel_tensors::with_adjacent_columns(given.grad_out);
    auto grad_q = empty_heads(p.q, p.q.size(1), p.q.size(2), p.q.size(3));
    auto grad_k = empty_heads(p.k, p.k.size(1), p.k.size(2), p.k.size(3));
    auto grad_v = empty_heads(p.v, p.v.size(1), p.v.size(2), p.v.size(3));
    at::Tensor grad_bias;
    kernels::AttentionGradients wanted{.out = kernel_tensors::view(given.out),
                                       .log_sum = given.log_sum.const_data_ptr(),
                                       .grad_out = kernel_tensors::view(grad_out),
                                       .grad_q = kernel_tensors::mutable_view(grad_q),
                                       .grad_k = kernel_tensors::mutable_view(grad_k),
                                       .grad_v = kernel_tensors::mutable_view(grad_v)};
    if (wants_bias) {
      grad_bias = at::zeros(p.bias.sizes(), given.log_sum.options());
      wanted.grad_bias = kernel_tensors::mutable_view(grad_bias);
    }
    Kernel::backward(prepared.call, wanted, p.q);
    Variables all(kArguments);
    all[0] = grad_q;
    all[1] = grad_k;
    all[2] = grad_v;
    if (wants_bias) all[3] = grad_bias.to(p.bias.scalar_type());
    return all;
  }

 private:
  static constexpr size_t kArguments = 6;
};

template <typename Kernel>
at::Tensor kernel_attention(const AttentionProblem& p) {
  using Function = AttentionFunction<Kernel>;
  const uint64_t seed = kernel_tensors::dropout_seed(p.dropout);
  if (!differentiates({p.q, p.k, p.v, p.bias})) return Function::run(p, seed, {});
  AttentionProblem rest = p;
  rest.q = rest.k = rest.v = rest.bias = at::Tensor();
  return Function::apply(p.q, p.k, p.v, kernel_tensors::optional(p.bias), rest, seed);
}

}  // namespace fovea
