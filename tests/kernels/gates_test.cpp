#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/tests/channel/oracle.h"
#include "fovea/tests/kernels/cases.h"

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

TEST(GateKernel, RepeatsToTheBit) {
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    const MapCase c(seed);
    EXPECT_TRUE(repeats([&] {
      return std::vector<at::Tensor>{c.squeeze_excited("cpu"), c.gated("cpu", CbamArrangement::channel_then_spatial)};
    }));
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
  EXPECT_EQ(first(explain_squeeze_excite(c.x.detach().requires_grad_(), args)),
            "cpu: gradients (it has no backward pass)");
  EXPECT_EQ(first(explain_cbam(c.x, {.mlp = c.mlp(), .arrangement = CbamArrangement::spatial_then_channel})),
            "cpu: the spatial gate before that of channels");
}

}  // namespace
}  // namespace fovea::testing
