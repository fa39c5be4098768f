#include "fovea/modules/channel/squeeze_excite.h"

#include <c10/core/GradMode.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/channel/gate_cpu.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

struct Excited {
  at::Tensor output;
  at::Tensor gate;  // [B,C,1,1]
};

struct ExciteProblem {
  const at::Tensor& x;
  const SqueezeExciteArgs& args;
};

Excited excite_reference(const ExciteProblem& problem) {
  const auto& [x, args] = problem;
  const auto scores = args.mlp(x.mean({2, 3}));  // [B,C]
  const auto gate = apply_gate(scores, args.gate).view({x.size(0), x.size(1), 1, 1});
  return {x * gate, gate};
}

std::string excite_cpu_refuses(const ExciteProblem& problem) {
  const auto& mlp = problem.args.mlp;
  if (differentiates({problem.x, mlp.fc1_weight, mlp.fc1_bias, mlp.fc2_weight, mlp.fc2_bias})) {
    return "gradients (it has no backward pass)";
  }
  return gate_cpu::refuses(problem.x);
}

Excited excite_on_cpu(const ExciteProblem& problem) {
  const auto& [x, args] = problem;
  const auto gate = apply_gate(args.mlp(gate_cpu::over_pixels(x, /*largest=*/false).mean), args.gate);  // [B,C]
  return {gate_cpu::scaled(x, gate, {}), gate.view({x.size(0), x.size(1), 1, 1})};
}

const BackendTable<Excited, ExciteProblem>& excite_backends() {
  static const BackendTable<Excited, ExciteProblem> table(
      "squeeze_excite", {{"cpu", excite_cpu_refuses, excite_on_cpu},
                         {"reference", [](const ExciteProblem&) { return std::string(); }, excite_reference}});
  return table;
}

void check(const at::Tensor& x, const SqueezeExciteArgs& args) {
  detail::check_feature_map("squeeze_excite", x);
  detail::check_mlp("squeeze_excite", args.mlp, x);
}

}  // namespace

at::Tensor squeeze_excite(const at::Tensor& x, const SqueezeExciteArgs& args) {
  check(x, args);
  const auto excited =
      excite_backends().run({x, args}, recording::differentiable(args.module) ? "reference" : args.backend);
  detail::record_gate(args.module, MapKind::channel, excited.gate, x);
  return excited.output;
}

std::string explain_squeeze_excite(const at::Tensor& x, const SqueezeExciteArgs& args) {
  check(x, args);
  return excite_backends().explain({x, args});
}

SqueezeExciteImpl::SqueezeExciteImpl(const SqueezeExciteOptions& options) : options(options) {
  require(options.channels > 0 && options.reduction > 0 && options.divisor > 0 && options.squeeze >= 0,
          ErrorKind::usage,
          "SqueezeExcite: channels {}, reduction {}, divisor {} must be positive, squeeze {} not less",
          options.channels, options.reduction, options.divisor, options.squeeze);
  reset();
}

void SqueezeExciteImpl::reset() {
  const int64_t width =
      options.squeeze > 0 ? options.squeeze : squeeze_width(options.channels, options.reduction, options.divisor);
  fc1 = register_module(options.keys[0],
                        Conv2d({.in_channels = options.channels, .out_channels = width, .bias = options.bias}));
  fc2 = register_module(options.keys[1],
                        Conv2d({.in_channels = width, .out_channels = options.channels, .bias = options.bias}));
}

double SqueezeExciteImpl::make_constant() {
  const at::NoGradGuard no_grad;
  fc2->weight.zero_();
  if (fc2->bias.defined()) fc2->bias.zero_();
  return 0.5;
}

at::Tensor SqueezeExciteImpl::forward(const at::Tensor& x) {
  return squeeze_excite(x, {.mlp = {fc1->weight, fc1->bias, fc2->weight, fc2->bias, options.activation},
                            .gate = options.gate,
                            .module = this});
}

}  // namespace fovea
