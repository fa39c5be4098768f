// The way from tensors to the CUDA kernels of gates and of additive attention and back: outputs and gradients against
// the formula in float64.
#include "fovea/modules/attention/additive.h"
#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/tests/simt/glue.h"

namespace fovea::testing {
namespace {

// --- Additive attention.

struct StepCase : GlueCase {
  explicit StepCase(uint64_t seed) : GlueCase(seed), both(seed % 5 != 4) {
    Draws pick(seed);
    const int64_t B = pick({1, 2, 5}), shared = pick({0, 0, 1}) == 1 ? 1 : B, N = pick({1, 1, 3});
    const int64_t M = pick({1, 7, 16, 49}), a = pick({1, 3, 16, 40}), e = pick({1, 2, 31, 64});
    leaves = {
        at::randn({B, N, a + 1}).to(type).narrow(2, 1, a), at::randn({shared, M, a}).to(type),
        pick({0, 1}) == 1 ? at::randn({shared, M, e}).to(type) : at::randn({shared, e, M}).to(type).transpose(1, 2),
        at::randn({a}).to(type)};
    if (pick({0, 1}) == 1) mask = on_device(at::rand({pick({1, B}), M}) > 0.4);
    outputs = both ? 2 : 1;
    width = a + M;
    name = fmt::format("seed {} {} B{} shared {} N{} M{} a{} e{}", seed, toString(type), B, shared, N, M, a, e);
  }

  std::vector<at::Tensor> results(at::ScalarType computed, const char* backend) const {
    return outputs_and_gradients(
        [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
          const auto result = additive_attention(in[0], in[1], in[2], in[3], {.mask = mask, .backend = backend});
          if (both) return {result.context, result.weights};
          return {result.weights};
        },
        in_type(leaves, computed));
  }

  bool both;                       // outputs count; else a loss of the weights alone
  std::vector<at::Tensor> leaves;  // query, keys, values, v
  at::Tensor mask;
};

FOVEA_CASE(AdditiveGlue, EqualsTheFormulaOnSeededCases) {
  expect_formula<StepCase>(0, case_count(60), std::mem_fn(&StepCase::results));
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

  expect_second_gradient(
      [&](const at::Tensor& leaf, const char* backend) {
        return additive_attention(on_device(c.leaves[0]), leaf, on_device(c.leaves[2]), on_device(c.leaves[3]),
                                  {.backend = backend})
            .context;
      },
      on_device(c.leaves[1]));
}

// --- Gates.

struct GateCase : GlueCase {
  explicit GateCase(uint64_t seed) : GlueCase(seed) {
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

  std::vector<at::Tensor> leaves;  // x, fc1, its bias, fc2, its bias, convolution, weight and bias of its norm
  Gate gate = Gate::sigmoid;
  Activation activation = Activation::relu;
  CbamArrangement arrangement = CbamArrangement::channel_then_spatial;
  bool light = false, training = false;
};

using GateFunction = at::Tensor (GateCase::*)(const std::vector<at::Tensor>& in, const char* backend) const;

void expect_gate_formula(uint64_t first_seed, uint64_t count, GateFunction function) {
  expect_formula<GateCase>(first_seed, count, [=](const GateCase& c, at::ScalarType computed, const char* backend) {
    const auto f = [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
      return {(c.*function)(in, backend)};
    };
    return outputs_and_gradients(f, in_type(c.leaves, computed));
  });
}

// Where low precision decides which place is the largest, it decides where the gradient goes: 16-bit maps are bounded
// by the error of the formula in their type as well.
FOVEA_CASE(GateGlue, SqueezeExciteEqualsTheFormulaOnSeededCases) {
  expect_gate_formula(0, case_count(60), &GateCase::excited);
}

FOVEA_CASE(GateGlue, CbamEqualsTheFormulaOnSeededCases) {
  expect_gate_formula(1000, case_count(90), &GateCase::gated);
}

}  // namespace
}  // namespace fovea::testing
