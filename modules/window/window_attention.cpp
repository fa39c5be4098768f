#include "fovea/modules/window/window_attention.h"

#include <ATen/ATen.h>
#include <fmt/ostream.h>

#include <cmath>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/heads.h"
#include "fovea/modules/attention/kernel_tensors.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/autocast.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"
#include "fovea/modules/window/partition.h"
#include "fovea/modules/window/relative_bias.h"
#include "fovea/modules/window/window_problem.h"

namespace fovea {
namespace {

void check_arguments(const WindowArgs& args) {
  require(args.heads > 0, ErrorKind::usage, "window_attention: heads {} must be positive", args.heads);
  for (size_t side = 0; side < 2; ++side) {
    require(args.window[side] > 0, ErrorKind::usage, "window_attention: window {}x{} must be positive", args.window[0],
            args.window[1]);
    require(args.shift[side] >= 0 && args.shift[side] < args.window[side], ErrorKind::usage,
            "window_attention: shift {}x{} does not lie within the window {}x{}", args.shift[0], args.shift[1],
            args.window[0], args.window[1]);
  }
  require(args.dropout >= 0 && args.dropout < 1, ErrorKind::usage, "window_attention: dropout {} does not lie in [0,1)",
          args.dropout);
  require(!args.bias_table.defined() || !args.bias.defined(), ErrorKind::usage,
          "window_attention: both bias_table and bias are given");
  require(args.bias_table.defined() == args.bias_index.defined(), ErrorKind::usage,
          "window_attention: bias_table and bias_index go together");
}

void check_floating(const char* name, const at::Tensor& t, const at::Tensor& qkv) {
  require(at::isFloatingType(t.scalar_type()), ErrorKind::data,
          "window_attention: {} {} has type {}, expected floating", name, shape_text(t), toString(t.scalar_type()));
  require(t.device() == qkv.device(), ErrorKind::data, "window_attention: {} is on {}, qkv on {}", name,
          fmt::streamed(t.device()), fmt::streamed(qkv.device()));
}

void check_shapes(const at::Tensor& qkv, const WindowArgs& args, const WindowLayout& layout) {
  const int64_t places = layout.places();
  check_floating("qkv", qkv, qkv);
  if (args.bias_table.defined()) {
    check_floating("bias_table", args.bias_table, qkv);
    const int64_t offsets = (2 * args.window[0] - 1) * (2 * args.window[1] - 1);
    require(args.bias_table.sizes() == at::IntArrayRef({offsets, args.heads}), ErrorKind::data,
            "window_attention: expected bias_table [{},{}] for {} heads and windows of {}x{}, got {}", offsets,
            args.heads, args.heads, args.window[0], args.window[1], shape_text(args.bias_table));
    require(args.bias_index.scalar_type() == at::kLong && args.bias_index.sizes() == at::IntArrayRef({places, places}),
            ErrorKind::data, "window_attention: expected bias_index int64 [{},{}], got {} {}", places, places,
            toString(args.bias_index.scalar_type()), shape_text(args.bias_index));
  }
  if (args.bias.defined()) {
    check_floating("bias", args.bias, qkv);
    const auto& bias = args.bias;
    const bool complete =
        bias.dim() == 4 && (bias.size(0) == layout.windows() || (bias.size(0) == 1 && !layout.shifted()));
    const bool fits = bias.dim() == 3 || complete;
    require(fits && bias.sizes().slice(bias.dim() - 3) == at::IntArrayRef({args.heads, places, places}),
            ErrorKind::data, "window_attention: expected bias [{1},{2},{2}] or [{0},{1},{2},{2}], got {3}",
            layout.windows(), args.heads, places, shape_text(bias));
  }
  if (args.pad_row.defined()) {
    check_floating("pad_row", args.pad_row, qkv);
    require(args.pad_row.dim() == 1 && args.pad_row.size(0) == qkv.size(3), ErrorKind::data,
            "window_attention: expected pad_row [{}] for qkv {}, got {}", qkv.size(3), shape_text(qkv),
            shape_text(args.pad_row));
  }
}

WindowProblem validate(const at::Tensor& qkv, const WindowArgs& args) {
  check_arguments(args);
  require(qkv.defined() && qkv.dim() == 4 && qkv.size(3) % (3 * args.heads) == 0, ErrorKind::data,
          "window_attention: expected qkv [B,h,w,3C] with C a multiple of {} heads, got {}", args.heads,
          shape_text(qkv));
  require(qkv.size(1) > 0 && qkv.size(2) > 0 && qkv.size(3) > 0, ErrorKind::data,
          "window_attention: expected a grid with tokens, got {}", shape_text(qkv));
  auto layout = window_layout(qkv.size(1), qkv.size(2), args);
  check_shapes(qkv, args, layout);
  WindowProblem problem{.qkv = layout.strided ? gather_strided(qkv, layout) : qkv, .heads = args.heads};
  layout.strided = false;  // the backends see plain windows
  problem.layout = layout;
  if (args.tables != nullptr && args.tables->layout == layout) problem.ready_tables = args.tables;
  problem.scale = args.scale.value_or(1.0 / std::sqrt(static_cast<double>(problem.head_width())));
  problem.bias_table = args.bias_table;
  problem.bias_index = args.bias_index;
  problem.bias = args.bias;
  problem.pad_row = kernel_tensors::in_type(args.pad_row, qkv.scalar_type());
  problem.dropout = args.dropout;
  return problem;
}

const BackendTable<at::Tensor, WindowProblem>& window_backends() {
  static const BackendTable<at::Tensor, WindowProblem> table(
      "window_attention", {
                              {"cpu", window_cpu_refuses, window_cpu},
                              {"cuda", window_cuda_refuses, window_cuda},
                              {"sdpa", window_sdpa_refuses, window_sdpa},
                              {"reference", [](const WindowProblem&) { return std::string(); },
                               [](const WindowProblem& p) { return reference_window_attention(p).output; }},
                          });
  return table;
}

// Adds the maps beside the output that a backend has already computed.
void record(const WindowProblem& problem, const at::Tensor& output, const torch::nn::Module* module) {
  size_t index;
  {
    at::NoGradGuard no_grad;
    index = recording::add(module, MapKind::tokens, window_weights(problem));
  }
  if (!recording::gradients(module) || !output.requires_grad()) return;
  const auto layout = problem.layout;
  const auto heads = problem.heads;
  const auto v = split_heads(
      to_windows(problem.qkv.detach(), layout, problem.pad_row.defined() ? problem.pad_row.detach() : at::Tensor()), 3,
      heads)[2];
  recording::add_gradient(index, output, [v, layout, heads](const at::Tensor& grad) {
    // d(loss)/d(weights) = dO·Vᵀ; nothing flows back from padded queries.
    return at::matmul(split_heads(to_windows(grad, layout), 1, heads)[0], v.transpose(-2, -1));
  });
}

}  // namespace

WindowTables WindowProblem::tables() const {
  if (ready_tables != nullptr) return *ready_tables;
  auto made = window_tables(layout);
  for (auto* table : {&made.tokens, &made.padding, &made.places, &made.mask}) {
    if (table->defined()) *table = table->to(qkv.device());
  }
  return made;
}

at::Tensor WindowProblem::complete_bias(const WindowTables& tables) const {
  const auto type = qkv.scalar_type();
  auto relative = bias_table.defined() ? relative_position_bias(bias_table, bias_index) : bias;
  relative = kernel_tensors::in_type(relative, type);
  if (relative.defined() && relative.dim() == 4) return relative;
  const auto apart = tables.mask.defined() ? tables.mask.to(type).unsqueeze(1) : tables.mask;  // [windows,1,W²,W²]
  if (!relative.defined()) return apart.defined() ? apart.expand({-1, heads, -1, -1}) : apart;
  return apart.defined() ? relative + apart : relative.unsqueeze(0);
}

WindowLayout window_layout(int64_t height, int64_t width, const WindowArgs& args) {
  WindowLayout layout{.height = height,
                      .width = width,
                      .window_height = args.window[0],
                      .window_width = args.window[1],
                      .shift_height = args.shift[0],
                      .shift_width = args.shift[1],
                      .pad_first = args.pad_first,
                      .strided = args.strided};
  if (args.pad_first && layout.rows() == 1) layout.shift_height = 0;
  if (args.pad_first && layout.columns() == 1) layout.shift_width = 0;
  return layout;
}

at::Tensor window_attention(const at::Tensor& given, const WindowArgs& args) {
  const auto qkv = autocast(given);
  const auto problem = validate(qkv, args);
  const auto layout = window_layout(qkv.size(1), qkv.size(2), args);
  const auto in_place = [&](const at::Tensor& output) {
    return layout.strided ? spread_strided(output, layout) : output;
  };
  if (!recording::wanted(args.module)) return in_place(window_backends().run(problem, args.backend));
  const recording::WindowScope scope(layout);
  if (recording::differentiable(args.module)) {
    const auto result = reference_window_attention(problem);
    recording::add(args.module, MapKind::tokens, result.weights);
    return in_place(result.output);
  }
  const auto output = window_backends().run(problem, args.backend);
  record(problem, output, args.module);
  return in_place(output);
}

std::string explain_window_backend(const at::Tensor& qkv, const WindowArgs& args) {
  return window_backends().explain(validate(autocast(qkv), args));
}

}  // namespace fovea
