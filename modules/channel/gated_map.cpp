#include "fovea/modules/channel/gated_map.h"

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fovea/modules/attention/formula_gradients.h"
#include "fovea/modules/attention/kernel_tensors.h"

namespace fovea::gated_map {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A call, and the graph of its small layers: their gates, and the leaves that these were computed from.
struct Graph : torch::CustomClassHolder {
  explicit Graph(Problem given) : problem(std::move(given)) {}

  Problem problem;
  Weights weights;
  Pooled over_pixels, over_channels;
  at::Tensor channel_gate, pixel_gate;
};

// A gate as the kernels read it.
at::Tensor for_kernels(const at::Tensor& gate) {
  return gate.defined() ? gate.detach().to(kernel_tensors::sum_type(gate)).contiguous() : gate;
}

// Fills the graph, which autograd follows where `follow` is set, and gives the scaled map.
at::Tensor compute(Graph& graph, const at::Tensor& x, bool follow) {
  const auto& p = graph.problem;
  const auto leaf = [&](const at::Tensor& t) { return t.defined() && follow ? t.detach().requires_grad_() : t; };
  const auto gate = [&](const auto& layers, const Pooled& pooled) {
    const at::AutoGradMode mode(follow);
    const auto type = x.scalar_type();
    return layers({kernel_tensors::in_type(pooled.mean, type), kernel_tensors::in_type(pooled.largest, type)},
                  graph.weights);
  };
  if (p.channel_gate) {
    const auto pooled = p.kernels.over_pixels(x, p.largest);
    graph.over_pixels = {leaf(pooled.mean), leaf(pooled.largest)};
    graph.channel_gate = gate(p.channel_gate, graph.over_pixels);
  }
  const auto by_channel = for_kernels(graph.channel_gate);
  if (p.pixel_gate) {
    const auto pooled = p.kernels.over_channels(x, p.pooled_scaled ? by_channel : at::Tensor());
    graph.over_channels = {leaf(pooled.mean), leaf(pooled.largest)};
    graph.pixel_gate = gate(p.pixel_gate, graph.over_channels);
  }
  return p.kernels.scaled(x, by_channel, for_kernels(graph.pixel_gate));
}

// From the gradient of a gate to what it pooled; the gradient of weight i goes to of_inputs[i + 1]. No weight belongs
// to both gates.
PooledGradient through_layers(const at::Tensor& gate, const Pooled& pooled, const GateGradient& found,
                              const Weights& weights, Weights& of_inputs) {
  variable_list inputs = {pooled.mean};
  if (pooled.largest.defined()) inputs.push_back(pooled.largest);
  const size_t first = inputs.size();
  for (const auto& weight : weights) {
    if (weight.defined() && weight.requires_grad()) inputs.push_back(weight);
  }
  const auto back =
      torch::autograd::grad({gate}, inputs, {found.grad.to(gate.scalar_type()).view_as(gate)}, /*retain_graph=*/true,
                            /*create_graph=*/false, /*allow_unused=*/true);
  size_t next = first;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!weights[i].defined() || !weights[i].requires_grad()) continue;
    const auto& grad = back[next++];
    if (grad.defined()) of_inputs[i + 1] = grad;
  }
  PooledGradient gradient{.mean = back[0].contiguous()};
  if (pooled.largest.defined() && back[1].defined()) {
    gradient.largest = back[1].contiguous();
    gradient.maximum = pooled.largest.detach();
    gradient.count = found.count;
  }
  return gradient;
}

// Weights that are undefined stay so: autograd is given the others alone.
struct GatedFunction : torch::autograd::Function<GatedFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, at::TensorList defined,
                            const c10::intrusive_ptr<Graph>& graph) {
    graph->problem.x = at::Tensor();
    for (const auto& weight : graph->problem.weights) {
      graph->weights.push_back(weight.defined() ? weight.detach().requires_grad_(weight.requires_grad()) : weight);
    }
    graph->problem.weights.clear();
    variable_list saved = {x};
    saved.insert(saved.end(), defined.begin(), defined.end());
    context->save_for_backward(saved);
    context->saved_data["graph"] = c10::IValue::make_capsule(graph);
    return compute(*graph, x, /*follow=*/true);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto capsule = context->saved_data["graph"].toCapsule();
    const auto& graph = static_cast<const Graph&>(*capsule);
    Weights weights = graph.weights;  // those of the call again, in their places
    size_t next = 1;
    for (auto& weight : weights) {
      if (weight.defined()) weight = saved[next++];
    }
    Weights of_inputs(weights.size() + 1);
    if (at::GradMode::is_enabled()) {
      Weights inputs = {saved[0]};
      inputs.insert(inputs.end(), weights.begin(), weights.end());
      of_inputs = formula_gradients({graph.problem.formula(saved[0], weights)}, grads, inputs, inputs.size());
    } else {
      gradients(graph, saved[0], grads[0], context->needs_input_grad(0), of_inputs);
    }
    variable_list all = {of_inputs[0]};
    for (size_t i = 0; i < weights.size(); ++i) {
      if (weights[i].defined()) all.push_back(of_inputs[i + 1]);
    }
    all.emplace_back();
    return all;
  }

 private:
  // Of x and, after it, each weight.
  static void gradients(const Graph& graph, const at::Tensor& x, const at::Tensor& grad, bool wants_x,
                        Weights& of_inputs) {
    const auto& p = graph.problem;
    GivenGradients given{
        .x = x,
        .grad_out = grad.contiguous(x.is_contiguous() ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast),
        .channel_gate = for_kernels(graph.channel_gate),
        .pixel_gate = for_kernels(graph.pixel_gate),
        .pooled_scaled = p.pooled_scaled};
    if (p.pixel_gate) {
      const auto found = p.kernels.of_pixel_gate(given, graph.over_channels.largest.detach());
      given.over_channels = through_layers(graph.pixel_gate, graph.over_channels, found, graph.weights, of_inputs);
    }
    if (p.channel_gate) {
      const auto found =
          p.kernels.of_channel_gate(given, p.largest ? graph.over_pixels.largest.detach() : at::Tensor());
      given.over_pixels = through_layers(graph.channel_gate, graph.over_pixels, found, graph.weights, of_inputs);
    }
    if (wants_x) of_inputs[0] = p.kernels.of_map(given);
  }
};

}  // namespace

kernels::FeatureMap kernel_map(const at::Tensor& x) {
  return {.type = kernel_tensors::number(x),
          .batch = x.size(0),
          .channels = x.size(1),
          .pixels = x.size(2) * x.size(3),
          .channels_last = !x.is_contiguous(),
          .data = x.const_data_ptr()};
}

kernels::MapGradients kernel_gradients(const GivenGradients& given) {
  using kernel_tensors::data_of;
  const auto pooled = [](const PooledGradient& g) {
    return kernels::PooledGradient{data_of(g.mean), data_of(g.largest), data_of(g.maximum), data_of(g.count)};
  };
  return {.grad_out = given.grad_out.const_data_ptr(),
          .channel_gate = data_of(given.channel_gate),
          .pixel_gate = data_of(given.pixel_gate),
          .pooled_scaled = given.pooled_scaled,
          .over_channels = pooled(given.over_channels),
          .over_pixels = pooled(given.over_pixels)};
}

at::Tensor empty_sums(const at::Tensor& x, at::IntArrayRef sizes) {
  return at::empty(sizes, x.options().dtype(kernel_tensors::sum_type(x)));
}

std::string refuses(const at::Tensor& x) {
  if (x.numel() == 0) return "a dimension is empty";
  if (!x.is_contiguous() && !x.is_contiguous(at::MemoryFormat::ChannelsLast)) {
    return "neither contiguous nor channels last";
  }
  return "";
}

Gated run(const Problem& problem) {
  auto graph = c10::make_intrusive<Graph>(problem);
  bool follow = problem.x.requires_grad();
  variable_list defined;
  for (const auto& weight : problem.weights) {
    if (!weight.defined()) continue;
    follow = follow || weight.requires_grad();
    defined.push_back(weight);
  }
  at::Tensor output;
  if (follow && at::GradMode::is_enabled()) {
    output = GatedFunction::apply(problem.x, at::TensorList(defined), graph);
  } else {
    graph->weights = problem.weights;
    output = compute(*graph, problem.x, /*follow=*/false);
  }
  const auto outside = [](const at::Tensor& gate) { return gate.defined() ? gate.detach() : gate; };
  return {output, outside(graph->channel_gate), outside(graph->pixel_gate)};
}

}  // namespace fovea::gated_map
