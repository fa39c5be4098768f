#include "fovea/modules/channel/cbam.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/autocast.h"
#include "fovea/modules/channel/gate_cpu.h"
#include "fovea/modules/channel/gate_cuda.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

struct Gated {
  at::Tensor output;
  at::Tensor channel_gate;  // [B,C,1,1], or undefined
  at::Tensor spatial_gate;  // [B,1,h,w], or undefined
};

struct CbamProblem {
  const at::Tensor& x;
  const CbamArgs& args;
};

bool has_channel(const CbamArgs& args) {
  return args.mlp.fc1_weight.defined();
}
bool has_spatial(const CbamArgs& args) {
  return args.spatial.weight.defined();
}

// mean and largest over pixels [B,C] → [B,C,1,1].
at::Tensor channel_gate(const at::Tensor& mean, const at::Tensor& largest, const CbamArgs& args) {
  const auto scores = args.light ? args.mlp((mean + largest) / 2)
                                 : args.mlp(at::cat({mean, largest})).view({2, mean.size(0), mean.size(1)}).sum(0);
  return apply_gate(scores, args.gate).view({mean.size(0), mean.size(1), 1, 1});
}

// mean and largest over channels [B,1,h,w] → the same.
at::Tensor spatial_gate(const at::Tensor& mean, const at::Tensor& largest, const CbamArgs& args) {
  const auto pooled = args.light ? (mean + largest) / 2 : at::cat({mean, largest}, 1);
  return apply_gate(args.spatial(pooled), args.gate);
}

Gated cbam_reference(const CbamProblem& problem) {
  const auto& [x, args] = problem;
  Gated gated{.output = x};
  // The tensor between the gates is ours to overwrite, which spares the pages of another one.
  bool ours = false;
  const auto multiply = [&](const at::Tensor& gate) {
    gated.output = ours && !at::GradMode::is_enabled() ? gated.output.mul_(gate) : gated.output * gate;
    ours = true;
  };
  const auto by_channel = [&](const at::Tensor& from) {
    if (!has_channel(args)) return;
    gated.channel_gate = channel_gate(from.mean({2, 3}), from.amax({2, 3}), args);
    multiply(gated.channel_gate);
  };
  const auto by_pixel = [&](const at::Tensor& from) {
    if (!has_spatial(args)) return;
    gated.spatial_gate = spatial_gate(from.mean(1, /*keepdim=*/true), from.amax(1, /*keepdim=*/true), args);
    multiply(gated.spatial_gate);
  };
  const bool reversed = args.arrangement == CbamArrangement::spatial_then_channel;
  if (reversed) by_pixel(x);
  by_channel(gated.output);
  if (!reversed) by_pixel(args.arrangement == CbamArrangement::parallel ? x : gated.output);
  return gated;
}

// What no kernel takes.
std::string cbam_kernel_refuses(const CbamArgs& args) {
  return args.arrangement == CbamArrangement::spatial_then_channel ? "the spatial gate before that of channels" : "";
}

std::string cbam_cpu_refuses(const CbamProblem& problem) {
  const auto reason = cbam_kernel_refuses(problem.args);
  return reason.empty() ? gate_cpu::refuses(problem.x) : reason;
}

std::string cbam_cuda_refuses(const CbamProblem& problem) {
  const auto reason = gate_cuda::refuses(problem.x);
  return reason.empty() ? cbam_kernel_refuses(problem.args) : reason;
}

gated_map::Weights weights_of(const CbamArgs& args) {
  const auto& mlp = args.mlp;
  const auto& spatial = args.spatial;
  return {mlp.fc1_weight, mlp.fc1_bias,        mlp.fc2_weight,   mlp.fc2_bias,
          spatial.weight, spatial.norm_weight, spatial.norm_bias};
}

CbamArgs with_weights(CbamArgs args, const gated_map::Weights& w) {
  args.mlp = {w[0], w[1], w[2], w[3], args.mlp.activation};
  args.spatial.weight = w[4];
  args.spatial.norm_weight = w[5];
  args.spatial.norm_bias = w[6];
  return args;
}

// The formula again, for gradients: what the first pass noted of the batch stays as it is.
at::Tensor cbam_again(const at::Tensor& x, CbamArgs args) {
  auto& spatial = args.spatial;
  for (auto* statistic : {&spatial.running_mean, &spatial.running_var}) {
    if (statistic->defined()) *statistic = statistic->clone();
  }
  return cbam_reference({x, args}).output;
}

// The tensor between the gates is never written: what the spatial gate pools is x times the first gate.
Gated cbam_by(const gated_map::Kernels& kernels, const CbamProblem& problem) {
  const auto& [x, args] = problem;
  using gated_map::Pooled;
  using gated_map::Weights;
  gated_map::Problem p{.kernels = kernels,
                       .x = x,
                       .weights = weights_of(args),
                       .pooled_scaled = args.arrangement != CbamArrangement::parallel};
  // Without the weights: the functions are given those that autograd follows.
  const auto rest = with_weights(args, Weights(p.weights.size()));
  if (has_channel(args)) {
    p.channel_gate = [rest](const Pooled& pooled, const Weights& weights) {
      return channel_gate(pooled.mean, pooled.largest, with_weights(rest, weights));
    };
  }
  if (has_spatial(args)) {
    p.pixel_gate = [rest](const Pooled& pooled, const Weights& weights) {
      return spatial_gate(pooled.mean, pooled.largest, with_weights(rest, weights));
    };
  }
  p.formula = [rest](const at::Tensor& map, const Weights& weights) {
    return cbam_again(map, with_weights(rest, weights));
  };
  const auto gated = gated_map::run(p);
  return {gated.output, gated.channel_gate, gated.pixel_gate};
}

const BackendTable<Gated, CbamProblem>& cbam_backends() {
  static const BackendTable<Gated, CbamProblem> table(
      "cbam", {{"cpu", cbam_cpu_refuses, [](const CbamProblem& p) { return cbam_by(gate_cpu::kernels(), p); }},
               {"cuda", cbam_cuda_refuses, [](const CbamProblem& p) { return cbam_by(gate_cuda::kernels(), p); }},
               {"reference", [](const CbamProblem&) { return std::string(); }, cbam_reference}});
  return table;
}

CbamArgs autocast_weights(CbamArgs args, const at::Tensor& x) {
  if (!x.defined()) return args;
  args.mlp = detail::autocast_mlp(args.mlp, x);
  args.spatial.weight = autocast_like(args.spatial.weight, x);
  return args;
}

void check(const at::Tensor& x, const CbamArgs& args) {
  require(has_channel(args) || has_spatial(args), ErrorKind::usage, "cbam: neither mlp nor spatial weights are given");
  detail::check_feature_map("cbam", x);
  if (has_channel(args)) detail::check_mlp("cbam", args.mlp, x);
  if (!has_spatial(args)) return;
  const auto& weight = args.spatial.weight;
  require(weight.dim() == 4 && weight.size(0) == 1 && weight.size(1) == (args.light ? 1 : 2) &&
              weight.size(2) == weight.size(3) && weight.size(2) % 2 == 1,
          ErrorKind::data, "cbam: spatial weight must be [1,{},k,k] with k odd, got {}", args.light ? 1 : 2,
          shape_text(weight));
  detail::check_weight("cbam", "spatial weight", weight, x);
  for (const auto* tensor :
       {&args.spatial.norm_weight, &args.spatial.norm_bias, &args.spatial.running_mean, &args.spatial.running_var}) {
    require(tensor->defined() && tensor->numel() == 1, ErrorKind::data,
            "cbam: every tensor of the spatial batch norm must be [1]");
  }
}

CbamOptions checked(const CbamOptions& options) {
  require(options.channels > 0 && options.reduction > 0 && options.squeeze >= 0, ErrorKind::usage,
          "Cbam: channels {} and reduction {} must be positive, squeeze {} not negative", options.channels,
          options.reduction, options.squeeze);
  require(options.kernel > 0 && options.kernel % 2 == 1, ErrorKind::usage, "Cbam: kernel {} must be odd",
          options.kernel);
  return options;
}

}  // namespace

at::Tensor SpatialScore::operator()(const at::Tensor& pooled) const {
  const auto scores = at::conv2d(pooled, weight, /*bias=*/{}, /*stride=*/1, /*padding=*/weight.size(2) / 2);
  return at::batch_norm(scores, norm_weight, norm_bias, running_mean, running_var, training, momentum, eps,
                        /*cudnn_enabled=*/true);
}

at::Tensor cbam(const at::Tensor& x, const CbamArgs& given) {
  const auto args = autocast_weights(given, x);
  check(x, args);
  const auto plain = [](const torch::nn::Module* module) {
    return recording::differentiable(module) || recording::gradients(module);
  };
  const bool reference = plain(args.channel_module) || plain(args.spatial_module);
  const auto gated = cbam_backends().run({x, args}, reference ? "reference" : args.backend);
  if (has_channel(args)) detail::record_gate(args.channel_module, MapKind::channel, gated.channel_gate, x);
  if (has_spatial(args)) detail::record_gate(args.spatial_module, MapKind::spatial, gated.spatial_gate, x);
  return gated.output;
}

std::string explain_cbam(const at::Tensor& x, const CbamArgs& given) {
  const auto args = autocast_weights(given, x);
  check(x, args);
  return cbam_backends().explain({x, args});
}

CbamChannelImpl::CbamChannelImpl(const CbamOptions& options) : options(checked(options)) {
  reset();
}

void CbamChannelImpl::reset() {
  const int64_t width =
      options.squeeze > 0 ? options.squeeze : squeeze_width(options.channels, options.reduction, /*divisor=*/1);
  const auto fully_connected = [&](int64_t in, int64_t out) {
    return Conv2d({.in_channels = in, .out_channels = out, .bias = options.bias, .bias_from_checkpoint = true});
  };
  fc1 = register_module("fc1", fully_connected(options.channels, width));
  fc2 = register_module("fc2", fully_connected(width, options.channels));
}

CbamConvImpl::CbamConvImpl(const CbamOptions& options) : options(checked(options)) {
  reset();
}

void CbamConvImpl::reset() {
  conv = register_module("conv", Conv2d({.in_channels = options.light ? 1 : 2,
                                         .out_channels = 1,
                                         .kernel = options.kernel,
                                         .padding = options.kernel / 2,
                                         .bias = false}));
  bn = register_module("bn", BatchNorm2d({.channels = 1, .momentum = options.momentum}));
}

CbamSpatialImpl::CbamSpatialImpl(const CbamOptions& options) : options(checked(options)) {
  reset();
}

void CbamSpatialImpl::reset() {
  conv = register_module("conv", std::make_shared<CbamConvImpl>(options));
}

SpatialScore CbamSpatialImpl::score() const {
  const auto& bn = *conv->bn;
  return {.weight = conv->conv->weight,
          .norm_weight = bn.weight,
          .norm_bias = bn.bias,
          .running_mean = bn.running_mean,
          .running_var = bn.running_var,
          .eps = bn.options.eps,
          .momentum = bn.options.momentum,
          .training = bn.is_training()};
}

CbamImpl::CbamImpl(const CbamOptions& options) : options(checked(options)) {
  reset();
}

void CbamImpl::reset() {
  channel = nullptr;
  spatial = nullptr;
  if (options.arrangement != CbamArrangement::spatial) {
    channel = register_module("channel", std::make_shared<CbamChannelImpl>(options));
  }
  if (options.arrangement != CbamArrangement::channel) {
    spatial = register_module("spatial", std::make_shared<CbamSpatialImpl>(options));
  }
}

double CbamImpl::make_constant() {
  const at::NoGradGuard no_grad;
  double share = 1;
  if (channel) {
    channel->fc2->weight.zero_();
    if (channel->fc2->bias.defined()) channel->fc2->bias.zero_();
    share *= 0.5;
  }
  if (spatial) {
    spatial->conv->bn->weight.zero_();
    spatial->conv->bn->bias.zero_();
    share *= 0.5;
  }
  return share;
}

at::Tensor CbamImpl::forward(const at::Tensor& x) {
  CbamArgs args{.gate = options.gate,
                .channel_module = channel.get(),
                .spatial_module = spatial.get(),
                .arrangement = options.arrangement,
                .light = options.light};
  if (channel) args.mlp = channel->mlp();
  if (spatial) {
    args.spatial = spatial->score();
    if (args.spatial.training) spatial->conv->bn->num_batches_tracked += 1;
  }
  return cbam(x, args);
}

}  // namespace fovea
