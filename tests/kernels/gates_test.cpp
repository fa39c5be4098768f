#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/tests/channel/oracle.h"
#include "fovea/tests/kernels/cases.h"
#include "fovea/tests/support/gradcheck.h"

namespace fovea::testing {
namespace {

// Planes and rows longer than a block of sums, and widths that fill no vector.
struct MapCase {
  explicit MapCase(uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&](std::vector<int64_t> from) { return from[random() % from.size()]; };
    at::manual_seed(static_cast<int64_t>(seed));
    const auto type = std::array{at::kFloat, at::kBFloat16, at::kDouble}[seed % 3];
    const int64_t batch = pick({1, 1, 3}), channels = pick({1, 3, 40, 64, 111, 256, 600}),
                  side = pick({1, 2, 7, 14, 30});
    const int64_t squeeze = pick({1, 4});
    x = at::randn({batch, channels, side, side + 1}).to(type);
    if (random() % 2) x = x.contiguous(at::MemoryFormat::ChannelsLast);
    const auto draw = [&](at::IntArrayRef shape) { return (at::randn(shape) * 0.3).to(type); };
    weights = {.fc1 = draw({squeeze, channels, 1, 1}),
               .b1 = draw({squeeze}),
               .fc2 = draw({channels, squeeze, 1, 1}),
               .b2 = draw({channels}),
               .conv = draw({1, 2, 3, 3})};
    gate = random() % 2 ? Gate::sigmoid : Gate::hard_sigmoid;
    name = fmt::format("seed {} x [{}] {} channels last {}", seed, fmt::join(x.sizes(), ","), toString(type),
                       !x.is_contiguous());
  }

  at::Tensor squeeze_excited(const char* backend) const {
    return squeeze_excite(x, {.mlp = mlp(), .gate = gate, .backend = backend});
  }

  at::Tensor gated(const char* backend, CbamArrangement arrangement) const {
    const auto one = at::ones({1}, x.options()), zero = at::zeros({1}, x.options());
    const SpatialScore spatial{.weight = weights.conv,
                               .norm_weight = one,
                               .norm_bias = zero,
                               .running_mean = zero,
                               .running_var = one,
                               .eps = 0};
    CbamArgs args;
    args.mlp = mlp();
    args.spatial = spatial;
    args.gate = gate;
    args.backend = backend;
    args.arrangement = arrangement;
    return cbam(x, args);
  }

  SqueezeMlp mlp() const { return {weights.fc1, weights.b1, weights.fc2, weights.b2}; }

  at::Tensor x;
  Weights weights;
  Gate gate = Gate::sigmoid;
  std::string name;
};

// A gate that is wrong by its rounding is wrong by a share of the values that it scales.
double bound(const at::Tensor& plain, const at::Tensor& expected) {
  return std::max(2 * largest_error(plain, expected), 4 * error_floor(expected.to(plain.scalar_type()), 1));
}

TEST(GateKernel, SqueezeExciteEqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    const MapCase c(seed);
    Gates expected{.output = wide(c.x).clone()};
    gate_channels(expected, c.weights, c.gate, /*with_maximum=*/false);
    const auto got = c.squeeze_excited("cpu");
    ASSERT_LE(largest_error(got, expected.output), bound(c.squeeze_excited("reference"), expected.output)) << c.name;
    ASSERT_EQ(got.strides(), c.x.strides());
  }
}

TEST(GateKernel, CbamEqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    const MapCase c(seed + 10'000);
    Gates expected{.output = wide(c.x).clone()};
    gate_channels(expected, c.weights, c.gate, /*with_maximum=*/true);
    gate_pixels(expected, c.weights, c.gate);
    const auto both = CbamArrangement::channel_then_spatial;
    ASSERT_LE(largest_error(c.gated("cpu", both), expected.output), bound(c.gated("reference", both), expected.output))
        << c.name;
    const auto apart = CbamArrangement::parallel;
    const auto plain = c.gated("reference", apart).to(at::kDouble);
    ASSERT_LE(largest_error(c.gated("cpu", apart), plain), 8 * error_floor(plain.to(c.x.scalar_type()), 1)) << c.name;
  }
}

constexpr CbamArrangement kArrangements[] = {CbamArrangement::channel_then_spatial, CbamArrangement::parallel,
                                             CbamArrangement::channel, CbamArrangement::spatial};

// Squeeze-and-excitation where `arrangement` is empty.
struct GateCall {
  std::optional<CbamArrangement> arrangement;
  Gate gate = Gate::sigmoid;
  bool light = false;
  bool training = false;
};

// Of x, fc1, b1, fc2, b2, and for CBAM the convolution and the line of the batch norm.
at::Tensor run(const GateCall& call, const std::vector<at::Tensor>& in, const char* backend) {
  const SqueezeMlp mlp{in[1], in[2], in[3], in[4]};
  if (!call.arrangement) return squeeze_excite(in[0], {.mlp = mlp, .gate = call.gate, .backend = backend});
  const auto one = at::ones({1}, in[0].options()), zero = at::zeros({1}, in[0].options());
  CbamArgs args{.gate = call.gate, .backend = backend, .arrangement = *call.arrangement, .light = call.light};
  if (*call.arrangement != CbamArrangement::spatial) args.mlp = mlp;
  if (*call.arrangement != CbamArrangement::channel) {
    args.spatial = {.weight = in[5],
                    .norm_weight = in[6],
                    .norm_bias = in[7],
                    .running_mean = zero,
                    .running_var = one,
                    .training = call.training};
  }
  return cbam(in[0], args);
}

std::vector<at::Tensor> gradients(const GateCall& call, const std::vector<at::Tensor>& inputs, at::ScalarType type,
                                  const char* backend) {
  std::vector<at::Tensor> leaves;
  for (const auto& t : inputs) leaves.push_back(t.to(type).detach().clone().requires_grad_());
  const auto out = run(call, leaves, backend);
  const auto weights = at::cos(at::arange(out.numel(), at::kDouble)).view(out.sizes());
  (out * weights.to(type)).sum().backward();
  std::vector<at::Tensor> grads;
  for (const auto& leaf : leaves) grads.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
  return grads;
}

// Values that are few sixteenths: many places share a maximum, in every type alike.
std::vector<at::Tensor> inputs_of(const MapCase& c, bool light) {
  const auto one = at::ones({1}, c.x.options());
  const auto x = c.x.scalar_type() == at::kDouble ? c.x : at::round(c.x * 16) / 16;
  return {x,
          c.weights.fc1,
          c.weights.b1,
          c.weights.fc2,
          c.weights.b2,
          light ? c.weights.conv.narrow(1, 0, 1).contiguous() : c.weights.conv,
          one * 1.5,
          one * 0.25};
}

void expect_gradients(const MapCase& c, const GateCall& call) {
  const auto inputs = inputs_of(c, call.light);
  const auto type = c.x.scalar_type();
  const auto expected = gradients(call, inputs, at::kDouble, "reference"),
             plain = gradients(call, inputs, type, "reference"), got = gradients(call, inputs, type, "cpu");
  for (size_t i = 0; i < got.size(); ++i) {
    const double limit = std::max(3 * largest_error(plain[i], expected[i]),
                                  3 * error_floor(expected[i].to(type), c.x.size(1) + c.x.size(2) * c.x.size(3)));
    ASSERT_LE(largest_error(got[i], expected[i]), limit) << c.name << " gradient " << i;
  }
  ASSERT_EQ(got[0].strides(), inputs[0].strides()) << c.name;
}

TEST(GateKernel, SqueezeExciteGradientsEqualTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    const MapCase c(seed + 20'000);
    expect_gradients(c, {.gate = c.gate});
    if (HasFatalFailure()) return;
  }
}

TEST(GateKernel, CbamGradientsEqualTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    const MapCase c(seed + 30'000);
    expect_gradients(c, {.arrangement = kArrangements[seed / 3 % 4], .gate = c.gate, .light = seed % 5 == 0});
    if (HasFatalFailure()) return;
  }
}

TEST(GateKernel, GradientsEqualCentralDifferences) {
  const auto draw = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble); };
  for (const auto& sizes : std::vector<std::vector<int64_t>>{{1, 1, 2, 1}, {2, 3, 3, 2}, {1, 11, 3, 5}}) {
    for (const bool channels_last : {false, true}) {
      for (int kind = -1; kind < 4; ++kind) {
        GateCall call{.training = sizes[0] == 2};
        if (kind >= 0) call.arrangement = kArrangements[kind];
        call.light = kind >= 0 && sizes[1] == 3;
        at::manual_seed(sizes[1]);
        const int64_t c = sizes[1];
        const auto f = [&](const std::vector<at::Tensor>& in) {
          auto inputs = in;
          if (channels_last) inputs[0] = in[0].contiguous(at::MemoryFormat::ChannelsLast);
          return run(call, inputs, "cpu");
        };
        const double error = gradient_error(f, {draw(sizes), draw({2, c, 1, 1}), draw({2}), draw({c, 2, 1, 1}),
                                                draw({c}), draw({1, call.light ? 1 : 2, 3, 3}), draw({1}), draw({1})});
        EXPECT_LE(error, 1e-5) << c << " channels, channels last " << channels_last << " arrangement " << kind;
      }
    }
  }
}

TEST(GateKernel, GradientsCanBeDifferentiatedAgain) {
  for (int kind = -1; kind < 2; ++kind) {
    GateCall call;
    if (kind >= 0) call.arrangement = kArrangements[kind];
    const auto gradient_of = [&](const std::vector<at::Tensor>& in) {
      const at::AutoGradMode differentiate(true);
      return torch::autograd::grad({run(call, in, "cpu").pow(3).sum()}, {in[0]}, {}, /*retain_graph=*/true,
                                   /*create_graph=*/true)[0];
    };
    at::manual_seed(7);
    const auto draw = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble); };
    EXPECT_LE(gradient_error(gradient_of, {draw({1, 3, 2, 2}), draw({2, 3, 1, 1}), draw({2}), draw({3, 2, 1, 1}),
                                           draw({3}), draw({1, 2, 3, 3}), draw({1}), draw({1})}),
              1e-5);
  }
}

// What a training batch leaves behind in the batch norm, with its gradients and without.
TEST(GateKernel, TrainingNotesItsStatisticsOnce) {
  MapCase c(31);
  const auto noted = [&](const char* backend, bool backward) {
    const auto x = c.x.to(at::kFloat).detach().clone().requires_grad_();
    const auto conv = c.weights.conv.to(at::kFloat), one = at::ones({1}), zero = at::zeros({1});
    const SpatialScore spatial{.weight = conv,
                               .norm_weight = one,
                               .norm_bias = zero,
                               .running_mean = at::zeros({1}),
                               .running_var = at::ones({1}),
                               .training = true};
    CbamArgs args;
    args.spatial = spatial;
    args.backend = backend;
    const auto out = cbam(x, args);
    if (backward) out.sum().backward();
    return at::cat({spatial.running_mean, spatial.running_var});
  };
  const auto expected = noted("reference", false);
  for (const bool backward : {false, true}) EXPECT_TRUE(at::allclose(noted("cpu", backward), expected, 1e-5, 1e-6));
}

TEST(GateKernel, RepeatsToTheBit) {
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    const MapCase c(seed);
    EXPECT_TRUE(repeats([&] {
      return std::vector<at::Tensor>{c.squeeze_excited("cpu"), c.gated("cpu", CbamArrangement::channel_then_spatial)};
    }));
  }
}

// With one number of threads: the small layers between the kernels are LibTorch's.
TEST(GateKernel, GradientsRepeatToTheBit) {
  const MapCase c(4);
  for (const auto& call : {GateCall{}, GateCall{.arrangement = CbamArrangement::channel_then_spatial}}) {
    const auto once = [&] { return gradients(call, inputs_of(c, false), c.x.scalar_type(), "cpu"); };
    const auto first = once();
    for (int i = 1; i < 50; ++i) {
      const auto again = once();
      for (size_t t = 0; t < first.size(); ++t) ASSERT_TRUE(same_bits(again[t], first[t])) << i << " gradient " << t;
    }
  }
}

TEST(GateKernel, NaNStays) {
  MapCase c(0);
  c.x = at::randn({2, 40, 7, 7});
  c.weights.fc1 = at::randn({4, 40, 1, 1});
  c.weights.fc2 = at::randn({40, 4, 1, 1});
  c.weights.b1 = c.weights.b2 = at::Tensor();
  c.weights.conv = at::randn({1, 2, 3, 3});
  c.x[0][3][2][2] = NAN;
  for (const auto& out : {c.squeeze_excited("cpu"), c.gated("cpu", CbamArrangement::channel_then_spatial)}) {
    EXPECT_TRUE(at::isnan(out[0]).all().item<bool>());
    EXPECT_FALSE(at::isnan(out[1]).any().item<bool>());
  }
}

TEST(GateKernel, SaysWhyItRefuses) {
  const auto first = [](const std::string& text) { return text.substr(0, text.find('\n')); };
  MapCase c(0);
  const SqueezeExciteArgs args{.mlp = c.mlp()};
  EXPECT_EQ(first(explain_squeeze_excite(c.x, args)), "cpu: runs");
  EXPECT_EQ(first(explain_squeeze_excite(c.x.expand({2, -1, -1, -1}), args)),
            "cpu: neither contiguous nor channels last");
  EXPECT_EQ(first(explain_squeeze_excite(c.x.detach().requires_grad_(), args)), "cpu: runs");
  EXPECT_EQ(first(explain_cbam(c.x, {.mlp = c.mlp(), .arrangement = CbamArrangement::spatial_then_channel})),
            "cpu: the spatial gate before that of channels");
}

}  // namespace
}  // namespace fovea::testing
