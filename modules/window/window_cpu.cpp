// The row of our own CPU kernels: one pass from qkv to the output, nothing in between, and its gradients.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/kernels/cpu/window.h"
#include "fovea/modules/window/window_problem.h"

namespace fovea {
namespace {

constexpr int64_t kMostWidth = 256;

at::Tensor contiguous(const at::Tensor& t) {
  return t.defined() ? t.contiguous() : t;
}

// The kernel's view of a problem, with the tensors that it points into.
struct PreparedWindows {
  explicit PreparedWindows(const WindowProblem& p)
      : qkv(cpu::with_adjacent_columns(p.qkv)),
        pad_row(contiguous(p.pad_row)),
        table(contiguous(p.bias_table)),
        index(contiguous(p.bias_index)),
        bias(contiguous(p.bias)) {
    const auto& layout = p.layout;
    call = {.type = cpu::number(qkv),
            .batch = qkv.size(0),
            .height = layout.height,
            .width = layout.width,
            .window_height = layout.window_height,
            .window_width = layout.window_width,
            .shift_height = layout.shift_height,
            .shift_width = layout.shift_width,
            .pad_first = layout.pad_first,
            .heads = p.heads,
            .head_width = p.head_width(),
            .scale = p.scale,
            .qkv = qkv.const_data_ptr(),
            .image_stride = qkv.stride(0),
            .row_stride = qkv.stride(1),
            .token_stride = qkv.stride(2)};
    if (pad_row.defined()) call.pad_row = pad_row.const_data_ptr();
    if (table.defined()) {
      call.table = table.const_data_ptr();
      call.table_index = index.const_data_ptr<int64_t>();
    }
    if (bias.defined()) (bias.dim() == 4 && bias.size(0) > 1 ? call.complete_bias : call.bias) = bias.const_data_ptr();
  }

  at::Tensor qkv, pad_row, table, index, bias;
  kernels::WindowCall call;
};

at::Tensor forward(const WindowProblem& p) {
  const PreparedWindows prepared(p);
  auto out = at::empty({p.qkv.size(0), p.layout.height, p.layout.width, p.channels()}, p.qkv.options());
  kernels::window_forward(prepared.call, out.data_ptr(), cpu::runtime());
  return out;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::optional<at::Tensor> optional(const at::Tensor& t) {
  return t.defined() ? std::optional(t) : std::nullopt;
}

// What autograd follows comes as arguments of its own, because it looks for tensors there alone, and takes undefined
// ones as absent options alone.
struct WindowFunction : torch::autograd::Function<WindowFunction> {
  using Option = std::optional<at::Tensor>;

  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv, const Option& pad_row, const Option& table,
                            const Option& bias, const WindowProblem& rest) {
    const variable_list inputs = {qkv, pad_row.value_or(at::Tensor()), table.value_or(at::Tensor()),
                                  bias.value_or(at::Tensor())};
    context->save_for_backward({inputs[0], inputs[1], inputs[2], inputs[3], rest.bias_index});
    const auto& l = rest.layout;
    context->saved_data["layout"] = std::vector<int64_t>{l.height,       l.width,       l.window_height, l.window_width,
                                                         l.shift_height, l.shift_width, l.pad_first,     rest.heads};
    context->saved_data["scale"] = rest.scale;
    return fovea::forward(with(rest, inputs));
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto numbers = context->saved_data["layout"].toIntVector();
    WindowProblem p{.layout = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6] != 0},
                    .heads = numbers[7],
                    .scale = context->saved_data["scale"].toDouble(),
                    .bias_index = saved[4]};
    p = with(p, saved);
    if (at::GradMode::is_enabled()) return differentiable_gradients(p, {saved.begin(), saved.begin() + 4}, grads[0]);
    return gradients(p, *context, grads[0]);
  }

 private:
  static WindowProblem with(WindowProblem p, const variable_list& tensors) {
    p.qkv = tensors[0];
    p.pad_row = tensors[1];
    p.bias_table = tensors[2];
    p.bias = tensors[3];
    return p;
  }

  static variable_list gradients(const WindowProblem& p, const AutogradContext& context, const at::Tensor& grad) {
    const PreparedWindows prepared(p);
    const auto grad_out = grad.contiguous();
    const auto sums = p.qkv.options().dtype(cpu::sum_type(p.qkv));
    const int64_t places = p.layout.places();
    auto grad_qkv = at::empty(p.qkv.sizes(), p.qkv.options());
    at::Tensor grad_pad, grad_bias;
    kernels::WindowGradients wanted{.grad_out = grad_out.const_data_ptr(), .grad_qkv = grad_qkv.data_ptr()};
    size_t edge = 1;  // edges of autograd lead to the defined inputs alone
    if (p.pad_row.defined() && context.needs_input_grad(edge++)) {
      grad_pad = at::zeros({kernels::kWindowParts, p.qkv.size(3)}, sums);
      wanted.grad_pad = grad_pad.data_ptr();
    }
    if ((p.bias_table.defined() || p.bias.defined()) && context.needs_input_grad(edge)) {
      grad_bias = at::zeros({kernels::kWindowParts, p.heads, places, places}, sums);
      wanted.grad_bias = grad_bias.data_ptr();
    }
    kernels::window_backward(prepared.call, wanted, cpu::runtime());
    variable_list all(5);
    all[0] = grad_qkv;
    if (grad_pad.defined()) all[1] = grad_pad.sum(0).to(p.qkv.scalar_type());
    if (!grad_bias.defined()) return all;
    const auto by_head = grad_bias.sum(0);  // [H,W²,W²]
    if (p.bias_table.defined()) {
      const auto rows = by_head.flatten(1).t();  // [W⁴,H]
      all[2] = at::zeros(p.bias_table.sizes(), sums).index_add_(0, p.bias_index.flatten(), rows);
      all[2] = all[2].to(p.qkv.scalar_type());
    } else {
      all[3] = by_head.view(p.bias.sizes()).to(p.qkv.scalar_type());
    }
    return all;
  }

  // Gradients that are differentiated again come from the readable formula.
  static variable_list differentiable_gradients(const WindowProblem& p, const variable_list& inputs,
                                                const at::Tensor& grad) {
    variable_list wanted;
    std::vector<size_t> places;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].defined() || !inputs[i].requires_grad()) continue;
      wanted.push_back(inputs[i]);
      places.push_back(i);
    }
    const auto found = torch::autograd::grad({reference_window_attention(p).output}, wanted, {grad},
                                             /*retain_graph=*/true, /*create_graph=*/true, /*allow_unused=*/true);
    variable_list all(5);
    for (size_t i = 0; i < places.size(); ++i) all[places[i]] = found[i];
    return all;
  }
};

}  // namespace

std::string window_cpu_refuses(const WindowProblem& p) {
  if (const auto reason = cpu::refuses(p.qkv); !reason.empty()) return reason;
  if (p.qkv.numel() == 0) return "a dimension is empty";
  if (p.dropout > 0) return "dropout";
  if (p.head_width() > kMostWidth) return fmt::format("head width {}, over {}", p.head_width(), kMostWidth);
  if (p.bias.defined() && p.bias.dim() == 4 && p.bias.size(0) > 1 && differentiates({p.bias})) {
    return "the gradient of a bias for each window";
  }
  return "";
}

at::Tensor window_cpu(const WindowProblem& given) {
  WindowProblem p = given;
  const auto type = p.qkv.scalar_type();
  if (p.bias_table.defined()) p.bias_table = p.bias_table.to(type);
  if (p.bias.defined()) p.bias = p.bias.to(type);
  if (!differentiates({p.qkv, p.pad_row, p.bias_table, p.bias})) return forward(p);
  WindowProblem rest = p;
  rest.qkv = rest.pad_row = rest.bias_table = rest.bias = at::Tensor();
  rest.ready_tables = nullptr;
  return WindowFunction::apply(p.qkv, optional(p.pad_row), optional(p.bias_table), optional(p.bias), rest);
}

}  // namespace fovea
