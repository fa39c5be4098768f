// Every layer in the narrow types against itself in float64, and under autocast.
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "fovea/tests/inference/precision_layers.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

constexpr int kDraws = 5;  // of weights and inputs, all else alike

std::vector<LayerCall> all_layers() {
  std::vector<LayerCall> all;
  for (const auto& some : {scoring_layers(), scaling_layers(), placed_layers(), slot_layers()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

struct Results {
  at::Tensor output;
  at::Tensor gradients;  // of all inputs and parameters
};

// In one type, of weights and inputs rounded to another before.
Results results_of(const LayerCall& call, at::ScalarType rounded, at::ScalarType type) {
  std::vector<at::Tensor> leaves;
  for (const auto& input : call.inputs) leaves.push_back(input.to(rounded).to(type).detach().requires_grad_(true));
  if (call.module) {
    call.module->to(rounded);
    call.module->to(type);
    call.module->zero_grad();
  }
  const auto output = call.run(leaves);
  const auto weights = at::cos(at::arange(1, output.numel() + 1, at::kDouble)).view(output.sizes());
  (output * weights.to(output.scalar_type())).sum().backward();
  if (call.module) {
    for (const auto& parameter : call.module->parameters()) leaves.push_back(parameter);
  }
  std::vector<at::Tensor> gradients;
  for (const auto& leaf : leaves) {
    gradients.push_back((leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf)).to(at::kDouble).flatten());
  }
  return {output.detach(), at::cat(gradients)};
}

// Of one layer, an error a draw.
struct Errors {
  std::vector<double> output, gradients;
  bool steady = true;
};

// By the layer's name; judge(call) gives what was got and what is right.
template <typename Judge>
std::map<std::string, Errors> errors_of_layers(const Judge& judge) {
  std::map<std::string, Errors> all;
  for (int draw = 0; draw < kDraws; ++draw) {
    for (const auto& call : all_layers()) {
      const std::optional<std::pair<Results, Results>> results = judge(call);
      if (!results) continue;
      const auto& [got, exact] = *results;
      Errors& errors = all[call.name];
      errors.output.push_back(relative_error(got.output, exact.output));
      errors.gradients.push_back(relative_error(got.gradients, exact.gradients));
      errors.steady = call.steady;
    }
  }
  return all;
}

// The median: a rounding that moves a choice, or a value across the corner of a ReLU, gives another gradient, but
// seldom.
void expect_close(const std::map<std::string, Errors>& layers, at::ScalarType type) {
  const auto median = [](std::vector<double> errors) {
    for (const double error : errors) EXPECT_TRUE(std::isfinite(error));
    std::ranges::sort(errors);
    return errors[errors.size() / 2];
  };
  for (const auto& [name, errors] : layers) {
    SCOPED_TRACE(name + " in " + toString(type));
    EXPECT_LE(median(errors.output), 2 * tolerance(type));
    EXPECT_LE(median(errors.gradients), errors.steady ? 3 * tolerance(type) : 1);
  }
}

TEST(Precision, NarrowTypesAreAsCloseAsTheirDigits) {
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    const auto layers = errors_of_layers([&](const LayerCall& call) -> std::optional<std::pair<Results, Results>> {
      if (!call.narrow) return std::nullopt;
      if (call.module) call.module->to(at::kFloat);
      const Results got = results_of(call, type, type);
      EXPECT_EQ(got.output.scalar_type(), type) << call.name;
      return std::pair(got, results_of(call, type, at::kDouble));
    });
    EXPECT_GT(layers.size(), 60);
    expect_close(layers, type);
  }
}

class Autocast {
 public:
  Autocast() { at::autocast::set_autocast_enabled(at::kCPU, true); }
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
};

TEST(Precision, LayersRunUnderAutocast) {
  const auto layers = errors_of_layers([](const LayerCall& call) {
    const Results exact = results_of(call, at::kFloat, at::kFloat);
    auto lowered = call;
    lowered.run = [&](const auto& in) {
      const Autocast lower;
      return call.run(in);
    };
    return std::optional(std::pair(results_of(lowered, at::kFloat, at::kFloat), exact));
  });
  EXPECT_GT(layers.size(), 60);
  expect_close(layers, at::kBFloat16);
}

// Sums over many tokens, and places beyond what a narrow type can count, must not suffer.
TEST(Precision, LongSequencesOverflowNothing) {
  at::manual_seed(2);
  const auto q = at::rand({1, 1, 4096, 64}), k = at::rand({1, 1, 4096, 64}), v = at::rand({1, 1, 4096, 4}) + 1;
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    for (const bool causal : {false, true}) {
      const auto run = [&](at::ScalarType to) {
        return linear_attention(q.to(type).to(to), k.to(type).to(to), v.to(type).to(to), {.causal = causal});
      };
      EXPECT_LE(relative_error(run(type), run(at::kDouble)), tolerance(type));
    }
  }
  LocalAttention local({.score = {.kind = Score::scaled_dot, .query_width = 64, .key_width = 64}, .half_width = 2});
  const auto narrow = local->forward(q[0].to(at::kBFloat16), k[0].to(at::kBFloat16), v[0].to(at::kBFloat16));
  EXPECT_TRUE(at::equal(narrow.start[0], at::arange(4096) - 2));
  // Factors of a scan lie near 1, closer than bfloat16 tells apart.
  const auto b = at::ones({1, 2000, 1});
  const SelectiveScanInputs slow{b, b / 1024, -b[0].narrow(0, 0, 1), b, b};
  const auto cast = [](const SelectiveScanInputs& in, at::ScalarType to) {
    return SelectiveScanInputs{in.x.to(to), in.delta.to(to), in.a.to(to), in.b.to(to), in.c.to(to)};
  };
  EXPECT_LE(relative_error(selective_scan(cast(slow, at::kBFloat16)).y, selective_scan(cast(slow, at::kDouble)).y),
            tolerance(at::kBFloat16));
}

}  // namespace
}  // namespace fovea::testing
