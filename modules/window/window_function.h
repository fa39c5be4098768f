// The way from a problem to a window kernel and back, on every device. A Kernel has
//
//     static constexpr int64_t kParts;          // of the sums of a bias and of padding that its backward pass writes
//     static constexpr bool kKeepsOutput;       // whether that reads the output and log Σ exp(score) of each row
//     static void forward(const kernels::WindowCall&, void* out, void* log_sum, const at::Tensor& on);
//     static void backward(const kernels::WindowCall&, const WindowSaved&, const kernels::WindowGradients&,
//                          const at::Tensor& on);
//     static at::Tensor table_gradient(const kernels::WindowCall&, const WindowProblem&, const at::Tensor& grad_bias);
//
// where `on` is a tensor of the device and grad_bias [kParts,H,W²,W²].
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/attention/formula_gradients.h"
#include "fovea/modules/attention/kernel_tensors.h"
#include "fovea/modules/kernels/window_call.h"
#include "fovea/modules/window/window_problem.h"

namespace fovea {

// The kernel's view of a problem, with the tensors that it points into.
struct PreparedWindows {
  PreparedWindows(const WindowProblem& p, uint64_t seed);

  at::Tensor qkv, pad_row, table, index, bias;
  kernels::WindowCall call;
};

// Of the forward pass; undefined where a kernel needs neither.
struct WindowSaved {
  at::Tensor out;      // [B,h,w,C]
  at::Tensor log_sum;  // [B,windows,H,W²], float32
};

// Why no kernel takes this problem, whatever its device.
std::string window_kernel_refuses(const WindowProblem& problem, int64_t most_width);

// The problem with every tensor in the type of qkv.
WindowProblem in_one_type(const WindowProblem& problem);

template <typename Kernel>
struct WindowFunction : torch::autograd::Function<WindowFunction<Kernel>> {
  using Context = torch::autograd::AutogradContext;
  using Variables = torch::autograd::variable_list;
  using Option = std::optional<at::Tensor>;

  static at::Tensor run(const WindowProblem& p, uint64_t seed, const at::Tensor& log_sum) {
    const PreparedWindows prepared(p, seed);
    auto out = at::empty({p.qkv.size(0), p.layout.height, p.layout.width, p.channels()}, p.qkv.options());
    Kernel::forward(prepared.call, out.data_ptr(), log_sum.defined() ? log_sum.data_ptr() : nullptr, p.qkv);
    return out;
  }

  // What autograd follows comes as arguments of its own, because it looks for tensors there alone, and takes undefined
  // ones as absent options alone.
  static at::Tensor forward(Context* context, const at::Tensor& qkv, const Option& pad_row, const Option& table,
                            const Option& bias, const WindowProblem& rest, uint64_t seed) {
    const Variables inputs = {qkv, pad_row.value_or(at::Tensor()), table.value_or(at::Tensor()),
                              bias.value_or(at::Tensor())};
    const auto& l = rest.layout;
    WindowSaved kept;
    if (Kernel::kKeepsOutput) {
      kept.log_sum = at::empty({qkv.size(0), l.windows(), rest.heads, l.places()}, qkv.options().dtype(at::kFloat));
    }
    const auto out = run(with(rest, inputs), seed, kept.log_sum);
    if (Kernel::kKeepsOutput) kept.out = out;
    context->save_for_backward({inputs[0], inputs[1], inputs[2], inputs[3], rest.bias_index, kept.out, kept.log_sum});
    context->saved_data["layout"] = std::vector<int64_t>{l.height,       l.width,       l.window_height, l.window_width,
                                                         l.shift_height, l.shift_width, l.pad_first,     rest.heads};
    context->saved_data["scale"] = rest.scale;
    context->saved_data["dropout"] = rest.dropout;
    context->saved_data["seed"] = static_cast<int64_t>(seed);
    return out;
  }

  static Variables backward(Context* context, const Variables& grads) {
    const auto saved = context->get_saved_variables();
    const auto numbers = context->saved_data["layout"].toIntVector();
    WindowProblem p{.layout = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6] != 0},
                    .heads = numbers[7],
                    .scale = context->saved_data["scale"].toDouble(),
                    .bias_index = saved[4],
                    .dropout = context->saved_data["dropout"].toDouble()};
    p = with(p, saved);
    const auto seed = static_cast<uint64_t>(context->saved_data["seed"].toInt());
    if (at::GradMode::is_enabled()) {
      const int64_t windows = p.qkv.size(0) * p.layout.windows(), places = p.layout.places();
      p.factors = cpu::dropout_factors(p.dropout, seed, {windows, p.heads, places, places}, p.qkv);
      p.dropout = 0;
      return formula_gradients({reference_window_attention(p).output}, grads, {saved.begin(), saved.begin() + 4},
                               kArguments);
    }
    const PreparedWindows prepared(p, seed);
    return gradients(p, prepared, {.kept = {saved[5], saved[6]}, .grad_out = grads[0].contiguous()}, *context);
  }

 private:
  static constexpr size_t kArguments = 6;

  struct Given {
    WindowSaved kept;
    at::Tensor grad_out;
  };

  static WindowProblem with(WindowProblem p, const Variables& tensors) {
    p.qkv = tensors[0];
    p.pad_row = tensors[1];
    p.bias_table = tensors[2];
    p.bias = tensors[3];
    return p;
  }

  static Variables gradients(const WindowProblem& p, const PreparedWindows& prepared, const Given& given,
                             const Context& context) {
    const auto type = p.qkv.scalar_type();
    const auto sums = p.qkv.options().dtype(kernel_tensors::sum_type(p.qkv));
    const int64_t places = p.layout.places();
    auto grad_qkv = at::empty(p.qkv.sizes(), p.qkv.options());
    at::Tensor grad_pad, grad_bias;
    kernels::WindowGradients wanted{.grad_out = given.grad_out.const_data_ptr(), .grad_qkv = grad_qkv.data_ptr()};
    size_t edge = 1;  // edges of autograd lead to the defined inputs alone
    if (p.pad_row.defined() && context.needs_input_grad(edge++)) {
      grad_pad = at::zeros({Kernel::kParts, p.qkv.size(3)}, sums);
      wanted.grad_pad = grad_pad.data_ptr();
    }
    if ((p.bias_table.defined() || p.bias.defined()) && context.needs_input_grad(edge)) {
      grad_bias = at::zeros({Kernel::kParts, p.heads, places, places}, sums);
      wanted.grad_bias = grad_bias.data_ptr();
    }
    Kernel::backward(prepared.call, given.kept, wanted, p.qkv);
    Variables all(kArguments);
    all[0] = grad_qkv;
    if (grad_pad.defined()) all[1] = grad_pad.sum(0).to(type);
    if (!grad_bias.defined()) return all;
    if (p.bias_table.defined()) {
      all[2] = Kernel::table_gradient(prepared.call, p, grad_bias).to(type);
    } else {
      all[3] = grad_bias.sum(0).view(p.bias.sizes()).to(type);
    }
    return all;
  }
};

template <typename Kernel>
at::Tensor kernel_window_attention(const WindowProblem& given) {
  using Function = WindowFunction<Kernel>;
  const WindowProblem p = in_one_type(given);
  const uint64_t seed = kernel_tensors::dropout_seed(p.dropout);
  if (!differentiates({p.qkv, p.pad_row, p.bias_table, p.bias})) return Function::run(p, seed, {});
  WindowProblem rest = p;
  rest.qkv = rest.pad_row = rest.bias_table = rest.bias = at::Tensor();
  rest.ready_tables = nullptr;
  return Function::apply(p.qkv, kernel_tensors::optional(p.pad_row), kernel_tensors::optional(p.bias_table),
                         kernel_tensors::optional(p.bias), rest, seed);
}

}  // namespace fovea
