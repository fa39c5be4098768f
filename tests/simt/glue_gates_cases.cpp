// The way from tensors to the CUDA kernels of gates and of additive attention and back: outputs and gradients against
// the formula in float64.
#include <torch/csrc/autograd/autograd.h>

#include "fovea/modules/attention/additive.h"
#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/tests/simt/glue.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

// --- Additive attention.

struct StepCase {
  explicit StepCase(uint64_t seed) : type(kGpuTypes[seed % 3]) {
    Draws pick(seed);
    const int64_t B = pick({1, 2, 5}), shared = pick({0, 0, 1}) == 1 ? 1 : B, N = pick({1, 1, 3});
    const int64_t M = pick({1, 7, 16, 49}), a = pick({1, 3, 16, 40}), e = pick({1, 2, 31, 64});
    leaves = {
        at::randn({B, N, a + 1}).to(type).narrow(2, 1, a), at::randn({shared, M, a}).to(type),
        pick({0, 1}) == 1 ? at::randn({shared, M, e}).to(type) : at::randn({shared, e, M}).to(type).transpose(1, 2),
        at::randn({a}).to(type)};
    if (pick({0, 1}) == 1) mask = on_device(at::rand({pick({1, B}), M}) > 0.4);
    name = fmt::format("seed {} {} B{} shared {} N{} M{} a{} e{}", seed, toString(type), B, shared, N, M, a, e);
  }

  std::vector<at::Tensor> results(at::ScalarType computed, const char* backend, bool both = true) const {
    std::vector<at::Tensor> inputs;
    for (const auto& t : leaves) inputs.push_back(computed != type ? t.to(computed) : t);
    return outputs_and_gradients(
        [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
          const auto result = additive_attention(in[0], in[1], in[2], in[3], {.mask = mask, .backend = backend});
          if (both) return {result.context, result.weights};
          return {result.weights};
        },
        inputs);
  }

  at::ScalarType type;
  std::vector<at::Tensor> leaves;  // query, keys, values, v
  at::Tensor mask;
  std::string name;
};

FOVEA_CASE(AdditiveGlue, EqualsTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(60); ++seed) {
    shuffle_threads(seed);
    const StepCase c(seed);
    const bool both = seed % 5 != 4;  // else a loss of the weights alone
    const auto exact = c.results(at::kDouble, "reference", both), plain = c.results(c.type, "reference", both);
    const auto width = c.leaves[3].size(0) + c.leaves[1].size(1);
    expect_close(c.results(c.type, "cuda", both), plain, exact, both ? 2 : 1, width, c.name);
  }
}

FOVEA_CASE(AdditiveGlue, NaNOutOfSightChangesNoBitAndGradientsCanBeDifferentiatedAgain) {
  StepCase c(3);
  at::manual_seed(4);
  c.leaves = {at::randn({2, 1, 8}), at::randn({2, 9, 8}), at::randn({2, 9, 5}), at::randn({8})};
  c.mask = on_device((at::arange(9) < 7).view({1, 9}));
  const auto expected = c.results(c.type, "cuda");
  auto wild = c;
  for (const size_t i : {1, 2}) {
    wild.leaves[i] = c.leaves[i].clone();
    wild.leaves[i].narrow(1, 7, 2).fill_(NAN);
  }
  const auto got = wild.results(c.type, "cuda");
  for (size_t i = 0; i < got.size(); ++i) expect(same_bits(got[i], expected[i]), fmt::format("result {}", i));

  const auto second = [&](const char* backend) {
    const auto leaf = on_device(c.leaves[1]).clone().requires_grad_();
    const auto out = additive_attention(on_device(c.leaves[0]), leaf, on_device(c.leaves[2]), on_device(c.leaves[3]),
                                        {.backend = backend})
                         .context;
    const auto first = torch::autograd::grad({out.pow(3).sum()}, {leaf}, {}, /*retain_graph=*/true,
                                             /*create_graph=*/true)[0];
    return torch::autograd::grad({first.pow(2).sum()}, {leaf})[0];
  };
  expect(relative_error(second("cuda"), second("reference")) <= 1e-4, "another slope");
}

// --- Gates.

struct GateCase {
  explicit GateCase(uint64_t seed) : type(kGpuTypes[seed % 3]) {
    Draws pick(seed);
    const int64_t batch = pick({1, 2, 3}), channels = pick({1, 3, 8, 40}), side = pick({1, 2, 5, 8});
    const int64_t squeeze = pick({1, 4});
    light = pick({0, 0, 1}) == 1;
    gate = pick({0, 1}) == 1 ? Gate::sigmoid : Gate::hard_sigmoid;
    activation = static_cast<Activation>(
        pick({int64_t(Activation::relu), int64_t(Activation::silu), int64_t(Activation::hard_swish)}));
    arrangement = std::array{CbamArrangement::channel_then_spatial, CbamArrangement::parallel, CbamArrangement::channel,
                             CbamArrangement::spatial}[pick({0, 0, 1, 2, 3})];
    training = pick({0, 1}) == 1;
    const bool bias = pick({0, 1}) == 1;
    auto x = at::randn({batch, channels, side, side + 1}).to(type);
    if (pick({0, 1, 2}) == 0) x = x.round();  // maxima that places share
    if (pick({0, 1}) == 1) x = x.contiguous(at::MemoryFormat::ChannelsLast);
    const auto draw = [&](at::IntArrayRef shape) { return (at::randn(shape) * 0.5).to(type); };
    leaves = {x,
              draw({squeeze, channels, 1, 1}),
              bias ? draw({squeeze}) : at::Tensor(),
              draw({channels, squeeze, 1, 1}),
              bias ? draw({channels}) : at::Tensor(),
              draw({1, light ? 1 : 2, 3, 3}),
              at::ones({1}, type),
              at::full({1}, 0.2, type)};
    name = fmt::format("seed {} {} x [{}] arrangement {} light {} training {}", seed, toString(type),
                       fmt::join(x.sizes(), ","), static_cast<int>(arrangement), light, training);
  }

  at::Tensor excited(const std::vector<at::Tensor>& in, const char* backend) const {
    return squeeze_excite(in[0], {.mlp = {in[1], in[2], in[3], in[4], activation}, .gate = gate, .backend = backend});
  }

  at::Tensor gated(const std::vector<at::Tensor>& in, const char* backend) const {
    CbamArgs args{.gate = gate, .backend = backend, .arrangement = arrangement, .light = light};
    if (arrangement != CbamArrangement::spatial) args.mlp = {in[1], in[2], in[3], in[4], activation};
    if (arrangement != CbamArrangement::channel) {
      args.spatial = {.weight = in[5],
                      .norm_weight = in[6],
                      .norm_bias = in[7],
                      .running_mean = at::zeros({1}, in[5].options()),
                      .running_var = at::ones({1}, in[5].options()),
                      .training = training};
    }
    return cbam(in[0], args);
  }

  template <typename F>
  std::vector<at::Tensor> results(at::ScalarType computed, F function, const char* backend) const {
    std::vector<at::Tensor> inputs;
    for (const auto& t : leaves) inputs.push_back(t.defined() && computed != type ? t.to(computed) : t);
    return outputs_and_gradients(
        [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> { return {(this->*function)(in, backend)}; },
        inputs);
  }

  at::ScalarType type;
  std::vector<at::Tensor> leaves;  // x, fc1, its bias, fc2, its bias, convolution, weight and bias of its norm
  Gate gate = Gate::sigmoid;
  Activation activation = Activation::relu;
  CbamArrangement arrangement = CbamArrangement::channel_then_spatial;
  bool light = false, training = false;
  std::string name;
};

// Where low precision decides which place is the largest, it decides where the gradient goes: 16-bit maps are bounded
// by the error of the formula in their type as well.
FOVEA_CASE(GateGlue, SqueezeExciteEqualsTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(60); ++seed) {
    shuffle_threads(seed);
    const GateCase c(seed);
    const auto f = &GateCase::excited;
    const auto exact = c.results(at::kDouble, f, "reference"), plain = c.results(c.type, f, "reference");
    expect_close(c.results(c.type, f, "cuda"), plain, exact, 1, 64, c.name);
  }
}

FOVEA_CASE(GateGlue, CbamEqualsTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(90); ++seed) {
    shuffle_threads(seed);
    const GateCase c(seed + 1000);
    const auto f = &GateCase::gated;
    const auto exact = c.results(at::kDouble, f, "reference"), plain = c.results(c.type, f, "reference");
    expect_close(c.results(c.type, f, "cuda"), plain, exact, 1, 64, c.name);
  }
}

}  // namespace
}  // namespace fovea::testing
