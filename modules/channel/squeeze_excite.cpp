#include "fovea/modules/channel/squeeze_excite.h"

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/channel/gate_cpu.h"
#include "fovea/modules/channel/gate_cuda.h"
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

at::Tensor gate_of(const at::Tensor& mean, const SqueezeMlp& mlp, Gate gate) {
  return apply_gate(mlp(mean), gate);  // [B,C]
}

Excited excite_reference(const ExciteProblem& problem) {
  const auto& [x, args] = problem;
  const auto gate = gate_of(x.mean({2, 3}), args.mlp, args.gate).view({x.size(0), x.size(1), 1, 1});
  return {x * gate, gate};
}

Excited excite_by(const gated_map::Kernels& kernels, const ExciteProblem& problem) {
  const auto& [x, args] = problem;
  const auto& mlp = args.mlp;
  const auto with = [activation = mlp.activation](const gated_map::Weights& w) {
    return SqueezeMlp{w[0], w[1], w[2], w[3], activation};
  };
  const auto gated =
      gated_map::run({.kernels = kernels,
                      .x = x,
                      .weights = {mlp.fc1_weight, mlp.fc1_bias, mlp.fc2_weight, mlp.fc2_bias},
                      .channel_gate =
                          [with, gate = args.gate](const gated_map::Pooled& pooled, const gated_map::Weights& weights) {
                            return gate_of(pooled.mean, with(weights), gate);
                          },
                      .largest = false,
                      .formula =
                          [with, gate = args.gate](const at::Tensor& map, const gated_map::Weights& weights) {
                            return excite_reference({map, {.mlp = with(weights), .gate = gate}}).output;
                          }});
  return {gated.output, gated.channel_gate.view({x.size(0), x.size(1), 1, 1})};
}

const BackendTable<Excited, ExciteProblem>& excite_backends() {
  static const BackendTable<Excited, ExciteProblem> table(
      "squeeze_excite", {{"cpu", [](const ExciteProblem& p) { return gate_cpu::refuses(p.x); },
                          [](const ExciteProblem& p) { return excite_by(gate_cpu::kernels(), p); }},
                         {"cuda", [](const ExciteProblem& p) { return gate_cuda::refuses(p.x); },
                          [](const ExciteProblem& p) { return excite_by(gate_cuda::kernels(), p); }},
                         {"reference", [](const ExciteProblem&) { return std::string(); }, excite_reference}});
  return table;
}

SqueezeExciteArgs checked(const at::Tensor& x, SqueezeExciteArgs args) {
  detail::check_feature_map("squeeze_excite", x);
  args.mlp = detail::autocast_mlp(args.mlp, x);
  detail::check_mlp("squeeze_excite", args.mlp, x);
  return args;
}

}  // namespace

at::Tensor squeeze_excite(const at::Tensor& x, const SqueezeExciteArgs& given) {
  const auto args = checked(x, given);
  const bool plain = recording::differentiable(args.module) || recording::gradients(args.module);
  const auto excited = excite_backends().run({x, args}, plain ? "reference" : args.backend);
  detail::record_gate(args.module, MapKind::channel, excited.gate, x);
  return excited.output;
}

std::string explain_squeeze_excite(const at::Tensor& x, const SqueezeExciteArgs& args) {
  return excite_backends().explain({x, checked(x, args)});
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
